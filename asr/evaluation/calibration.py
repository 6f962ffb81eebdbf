"""Word confidence against the share of words that are correct."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from asr.evaluation.alignment import Scored
from asr.text.config import TextConfig
from asr.text.normalizer import normalize

CONFIDENCE_BINS = 10  # of equal width, from 0 to 1
MOST_CERTAIN = 0.999  # confidences are clipped to 0.001..0.999 in the cross entropy


@dataclass(frozen=True)
class ConfidenceBin:
    """The words whose confidence lies in one range."""

    low: float
    high: float  # excluded, except 1
    words: int
    confidence: float  # mean of the words'; NaN without any
    correct: float  # share of the words that are correct; NaN without any


@dataclass(frozen=True)
class Calibration:
    """How well the confidence of the recognised words predicts whether they are correct.

    A word is correct if the alignment has it opposite the same word of the reference.
    """

    bins: tuple[ConfidenceBin, ...]  # `CONFIDENCE_BINS`, from low to high confidence
    words: int
    correct: int
    expected_error: float  # mean distance of confidence and share of correct words over the bins (Guo et al. 2017)
    cross_entropy: float  # normalised (NIST): 1 is perfect, 0 uninformative; NaN if all or no words are correct
    left_out: int  # utterances in which normalisation joins, splits or drops words, which have a confidence each


def calibrate(scored: Iterable[Scored], text: TextConfig) -> Calibration | None:
    """The calibration of some utterances; None if no word has a confidence."""
    confidence, correct, left_out = [], [], 0
    for item in scored:
        # The words of the alignment are normalised, those with a confidence are not: they must correspond.
        if [normalize(word.text, text) for word in item.transcript.words] != item.hypothesis.split():
            left_out += 1
            continue
        confidence += [word.confidence for word in item.transcript.words]
        correct += [word.hypothesis == word.reference for word in item.alignment if word.hypothesis]
    if not confidence:
        return None
    confidence, correct = np.clip(confidence, 0.0, 1.0), np.array(correct)
    place = np.minimum((confidence * CONFIDENCE_BINS).astype(int), CONFIDENCE_BINS - 1)
    bins = [
        ConfidenceBin(
            number / CONFIDENCE_BINS,
            (number + 1) / CONFIDENCE_BINS,
            int(inside.sum()),
            float(confidence[inside].mean()) if inside.any() else math.nan,
            float(correct[inside].mean()) if inside.any() else math.nan,
        )
        for number, inside in enumerate(place == number for number in range(CONFIDENCE_BINS))
    ]
    error = sum(each.words * abs(each.confidence - each.correct) for each in bins if each.words) / len(confidence)
    entropy = _cross_entropy(confidence, correct)
    return Calibration(tuple(bins), len(confidence), int(correct.sum()), error, entropy, left_out)


def _cross_entropy(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Normalised cross entropy (Siu et al. 1997) of confidences `(words,)` and which words are correct, `(words,)`."""
    share = correct.mean()
    if share in (0.0, 1.0):
        return math.nan
    certain = np.clip(confidence, 1 - MOST_CERTAIN, MOST_CERTAIN)
    entropy = -(share * math.log(share) + (1 - share) * math.log(1 - share))
    return float(1 + np.log(np.where(correct, certain, 1 - certain)).mean() / entropy)
