"""What recognition gives: text, and words with times and confidence."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A word, when it was heard, and how sure the model is of it.

    `confidence` is the geometric mean, over the word's tokens, of the posterior probability that the model gives
    the token in the frame where it is most certain of it: 0..1, a ranking of words rather than a chance of being
    right.
    """

    text: str
    start: float  # seconds
    end: float  # seconds
    confidence: float


@dataclass(frozen=True)
class Transcript:
    """The words of one recording."""

    text: str
    words: tuple[Word, ...]
    duration: float  # seconds of audio
    notes: tuple[str, ...] = ()  # what was done to the audio: "2 channels mixed to one"
