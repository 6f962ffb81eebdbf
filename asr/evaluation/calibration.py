"""Confidence of words and of segments against the share of them that is correct."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asr.evaluation.alignment import Scored
from asr.output.segments import make_segments
from asr.text.config import TextConfig
from asr.text.normalizer import normalize

CONFIDENCE_BINS = 10  # of equal width, from 0 to 1
SLOPES = np.geomspace(0.05, 5, 93)  # that are tried, 5% apart
MOST_CERTAIN = 0.999  # confidences are clipped to 0.001..0.999 in the cross entropy


@dataclass(frozen=True)
class ConfidenceBin:
    """The words, or segments, whose confidence lies in one range."""

    low: float
    high: float  # excluded, except 1
    words: int
    confidence: float  # mean of the words'; NaN without any
    correct: float  # share of the words that are correct; NaN without any


@dataclass(frozen=True)
class Calibration:
    """How well the confidence of the recognised words, or segments, predicts whether they are correct.

    A word is correct if the alignment has it opposite the same word of the reference.
    """

    bins: tuple[ConfidenceBin, ...]  # `CONFIDENCE_BINS`, from low to high confidence
    words: int
    correct: int
    expected_error: float  # mean distance of confidence and share of correct words over the bins (Guo et al. 2017)
    cross_entropy: float  # normalised (NIST): 1 is perfect, 0 uninformative; NaN if all or no words are correct
    left_out: int  # utterances in which normalisation joins, splits or drops words, which have a confidence each


def calibrate(scored: Iterable[Scored], text: TextConfig) -> Calibration | None:
    """The calibration of the words of some utterances; None if no word has a confidence."""
    confidence, correct, left_out = [], [], 0
    for item in scored:
        if not _is_aligned(item, text):
            left_out += 1
            continue
        confidence += [word.confidence for word in item.transcript.words]
        correct += [word.hypothesis == word.reference for word in item.alignment if word.hypothesis]
    return _calibration(confidence, correct, left_out)


def calibrate_segments(scored: Iterable[Scored], text: TextConfig, slope: float) -> Calibration | None:
    """The calibration of the segments (`asr.output.segments`) of some utterances; None if no word has a confidence.

    A segment is correct if its words are, and no word of the reference is missing between them or behind the last.
    """
    products, correct, left_out = _segments(scored, text)
    return _calibration(np.exp(slope * np.array(products)).tolist(), correct, left_out)


def fit_slope(scored: Iterable[Scored], text: TextConfig) -> float:
    """The slope under which it is likeliest that those segments are correct that are; 1 without both kinds."""
    products, correct, _ = _segments(scored, text)
    if len(set(correct)) < 2:
        return 1.0
    shares = np.exp(np.outer(SLOPES, products))  # (slopes, segments)
    certain = np.clip(shares, 1 - MOST_CERTAIN, MOST_CERTAIN)
    likelihood = np.log(np.where(correct, certain, 1 - certain)).sum(axis=1)
    return float(SLOPES[np.argmax(likelihood)])


def _segments(scored: Iterable[Scored], text: TextConfig) -> tuple[list[float], list[bool], int]:
    """The logarithm of the product of each segment's confidences, whether it is correct, and the utterances left
    out."""
    products, correct, left_out = [], [], 0
    for item in scored:
        segments = make_segments(item.transcript, 1.0)
        # Wide words, as in languages without spaces, are cut into several of a subtitle's.
        if not _is_aligned(item, text) or sum(len(each.words) for each in segments) != len(item.transcript.words):
            left_out += 1
            continue
        right: list[bool] = []  # of each word of the hypothesis, with what is missing behind it
        for word in item.alignment:
            if word.hypothesis:
                right.append(word.hypothesis == word.reference)
            elif right:
                right[-1] = False
        if right and item.alignment[0].hypothesis == "":
            right[0] = False
        first = 0
        for segment in segments:
            products.append(math.log(segment.confidence))
            correct.append(all(right[first : first + len(segment.words)]))
            first += len(segment.words)
    return products, correct, left_out


def _is_aligned(item: Scored, text: TextConfig) -> bool:
    """Whether the words of the alignment, which are normalised, are those with a confidence, which are not."""
    return [normalize(word.text, text) for word in item.transcript.words] == item.hypothesis.split()


def _calibration(confidence: Sequence[float], correct: Sequence[bool], left_out: int) -> Calibration | None:
    if not len(confidence):
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
