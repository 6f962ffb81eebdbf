"""Transcripts: text, and words with times and confidence."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A word with its time and confidence.

    Times are those of the network's output: CTC does not bind a token to its sound, and a bidirectional model,
    especially one of byte-pair units, may output it some tenths of a second early or late.

    `confidence` is, with greedy decoding, the geometric mean over the word's tokens of each one's highest posterior
    probability; with beam search, the geometric mean of that and the share of the beam that has this word. Both are
    0..1 and rank words; the evaluation report shows how well they are calibrated.
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
    """The words of one recording as they are written, for example with punctuation."""

    text: str
    words: tuple[Word, ...]
    duration: float  # seconds of audio
    notes: tuple[str, ...] = ()  # what was done to the audio: "2 channels mixed to one"
    alternatives: tuple[Alternative, ...] = ()  # of a beam search, best first: that of the words as recognised
    characters: tuple[Word, ...] = ()  # of forced alignment: a word per character
    doubtful: tuple[Word, ...] = ()  # of forced alignment: words of low confidence
    spoken: tuple[Word, ...] = ()  # the words as recognised, where `words` are written differently

    @property
    def separator(self) -> str:
        """What separates words: nothing in a language written without spaces."""
        # Several spoken words in one, as in "205", are a number, and languages in which these are written have spaces.
        return " " if " " in self.text or len(self.spoken) > len(self.words) else ""

    @property
    def plain_words(self) -> tuple[Word, ...]:
        """The words as recognised."""
        return self.spoken or self.words

    @property
    def plain_text(self) -> str:
        """The text as recognised."""
        return self.join(self.spoken) if self.spoken else self.text

    def join(self, words: Iterable[Word]) -> str:
        """Some of the words as text."""
        return self.separator.join(word.text for word in words)


ABBREVIATIONS = ("Mr.", "Mrs.", "Dr.", "St.")  # written before names; their full stops end no sentence


def ends_sentence(word: str) -> bool:
    """Whether a written word has the mark of a sentence's end."""
    return word.endswith((".", "?", "!")) and word not in ABBREVIATIONS
