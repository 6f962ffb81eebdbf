"""What a beam search finds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """A word sequence and its scores (natural logarithms)."""

    text: str
    words: tuple[str, ...]
    score: float  # acoustic + lm_weight * lm + word bonus for each word + hotwords and penalties
    acoustic: float  # ln P(tokens | sound), summed over alignments and over the ways to spell the words
    lm: float  # ln P(words) with the sentence's end; 0 without a language model
    tokens: tuple[int, ...]  # the likeliest spelling
    spans: tuple[tuple[int, int], ...]  # each word's first token and the one after its last
    shares: tuple[float, ...] = ()  # agreement of the beam on each word, 0..1; of the best hypothesis only
