"""What recognition gives: text, and words with times and confidence."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A word, when it was heard, and how sure the model is of it.

    Times are those of the network's output: CTC does not bind a token to its sound, and a bidirectional model, above
    all one of byte-pair units, may write it some tenths of a second early or late.

    `confidence` is, from greedy decoding, the geometric mean over the word's tokens of the posterior probability that
    the model gives the token in the frame where it is most certain of it; from beam search, that times the share of
    the beam that had this word when it had been heard. Both are 0..1 and rank words; how near they are to the chance of
    being right is drawn in the evaluation report.
    """

    text: str
    start: float  # seconds
    end: float  # seconds
    confidence: float


@dataclass(frozen=True)
class Alternative:
    """Another hypothesis of the beam search, with its scores in nats (natural logarithms)."""

    text: str
    score: float  # what hypotheses are ranked by: acoustic and weighted language model, with bonuses
    acoustic: float
    lm: float


@dataclass(frozen=True)
class Transcript:
    """The words of one recording."""

    text: str
    words: tuple[Word, ...]
    duration: float  # seconds of audio
    notes: tuple[str, ...] = ()  # what was done to the audio: "2 channels mixed to one"
    alternatives: tuple[Alternative, ...] = ()  # of beam search, the best (which is `text`) first
    characters: tuple[Word, ...] = ()  # of forced alignment: each character as a word
    doubtful: tuple[Word, ...] = ()  # of forced alignment: words that the model hardly believes in

    @property
    def separator(self) -> str:
        """What stands between words: nothing in a language that is written without spaces."""
        return " " if " " in self.text else ""

    def join(self, words: Iterable[Word]) -> str:
        """Some of the words as text."""
        return self.separator.join(word.text for word in words)
