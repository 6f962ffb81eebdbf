"""Interpolated modified Kneser-Ney estimates (Chen & Goodman 1998) from n-gram counts.

The definitions are those of KenLM's lmplz (Heafield et al. 2013): below the highest order an n-gram's *adjusted* count
is the number of different words seen before it, or its occurrences if it begins with <s>, which has no word before it;
unigrams are interpolated with the uniform distribution over all words but <s>; the counts of pruned n-grams are added
to the back-off weight of their context, so that probabilities sum to 1.
"""

from dataclasses import dataclass

import numpy as np

from asr.lm.corpus import BEGIN_ID
from asr.lm.counting import Counts
from asr.lm.trie import Trie, build_trie, search
from asr.utils.numba_cache import compiled

#: Discounts of adjusted counts 1, 2 and 3 or more where the text is too small to estimate them, as in lmplz's
#: --discount_fallback.
FALLBACK = (0.5, 1.0, 1.5)

#: ln P of <s>, which is never predicted: log10 P = -99, as SRILM writes it.
NEVER = -99 * float(np.log(10))


@dataclass
class Estimate:
    """A model and statistics of its training."""

    trie: Trie
    occurrences: np.ndarray  # int64 (contexts,) of each context in the text
    discounts: list[tuple[float, float, float]]  # of each order, for adjusted counts 1, 2 and 3 or more
    fallbacks: list[int]  # orders whose discounts are `FALLBACK`


def estimate(words: list[str], levels: list[Counts], prune: tuple[int, ...] = ()) -> Estimate:
    """The model of the words and of the counts of each order, whose memory is released.

    `prune[k - 1]` is the number of occurrences up to which n-grams of order k are omitted; the first is 0, the values
    do not decrease, and the last one applies to all further orders.
    """
    order = len(levels)
    adjusted_counts, suffixes = _adjusted_counts(levels)
    discounts, fallbacks = [], []
    lower = np.full(1, 1.0 / (len(words) - 1))  # P of each n-gram of the order below; at first uniform but for <s>
    kept_below = np.zeros(1, np.int64)  # the index that each of them has in the model; -1: pruned
    parts = {name: [] for name in ("contexts", "word", "logp", "backoff")}
    occurrences = [np.zeros(1, np.int64)]
    for k in range(1, order + 1):
        # The counts of an order can be as large as the model, so each is released as soon as possible.
        level, adjusted, suffix = levels.pop(0), adjusted_counts.pop(0), suffixes.pop(0)
        discount = kneser_ney_discounts(adjusted)
        if discount is None:
            fallbacks.append(k)
            discount = FALLBACK
        discounts.append(discount)
        threshold = prune[min(k, len(prune)) - 1] if prune else 0
        kept = level.count > threshold if threshold else np.ones(len(level.word), bool)
        probability, logp, weight = _interpolate(
            level.first, adjusted, kept, np.array((0.0, *discount)), suffix, lower, k < order
        )
        if k == 1:
            logp[BEGIN_ID] = NEVER
        else:
            parts["backoff"].append(weight[kept_below >= 0])
        parts["contexts"].append(np.repeat(kept_below.astype(np.int32), np.diff(level.first))[kept])
        parts["word"].append(level.word[kept])
        parts["logp"].append(logp[kept])
        if k < order:
            occurrences.append(level.count[kept])
            kept_below = np.where(kept, np.cumsum(kept) - 1, -1)
            lower = probability
    return Estimate(build_trie(words, **parts), np.concatenate(occurrences), discounts, fallbacks)


def kneser_ney_discounts(adjusted: np.ndarray) -> tuple[float, float, float] | None:
    """The three discounts of an order by Chen & Goodman's equation 26, or None where its counts do not allow it.

    >>> kneser_ney_discounts(np.repeat([1, 2, 3, 4], [40, 10, 5, 2]))
    (0.6666666666666666, 1.0, 1.9333333333333333)
    """
    n = np.bincount(np.minimum(adjusted, 5), minlength=6).tolist()
    if not all(n[1:4]):
        return None
    # k - (k + 1) n[1] / (n[1] + 2 n[2]) * n[k + 1] / n[k], in whole numbers, so that 0 is exactly 0. A discount of 0
    # would leave contexts without mass for words not seen after them, and so probabilities of 0.
    total = n[1] + 2 * n[2]
    found = tuple((k * n[k] * total - (k + 1) * n[1] * n[k + 1]) / (n[k] * total) for k in (1, 2, 3))
    return found if min(found) > 0 else None


def _adjusted_counts(levels: list[Counts]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each order the adjusted counts, and the index of each n-gram's suffix (its first word left out) in the order
    below."""
    suffixes = [np.zeros(len(levels[0].word), np.int32)]
    for k, level in enumerate(levels[1:], start=2):
        if k == 2:
            suffixes.append(level.word)
        else:
            suffixes.append(_suffixes(levels[k - 2].first, levels[k - 2].word, level.first, level.word, suffixes[-1]))
    adjusted = []
    begin, end = BEGIN_ID, BEGIN_ID + 1  # the n-grams of an order that begin with <s> are a range
    for k, level in enumerate(levels, start=1):
        if k > 1:
            begin, end = level.first[begin], level.first[end]
        if k < len(levels):
            counts = np.bincount(suffixes[k], minlength=len(level.word)).astype(level.count.dtype)
            counts[begin:end] = level.count[begin:end]
        else:
            counts = level.count.copy() if k == 1 else level.count
        if k == 1:
            counts[BEGIN_ID] = 0
        adjusted.append(counts)
    return adjusted, suffixes


@compiled
def _suffixes(first_below, word_below, first, word, suffix_below):
    """Suffixes of an order from those of the order below: the same word after the suffix of the context."""
    suffix = np.empty(len(word), np.int32)
    for context in range(len(first) - 1):
        # Continuations are sorted, so each search continues from the last match.
        low, high = first_below[suffix_below[context]], first_below[suffix_below[context] + 1]
        for node in range(first[context], first[context + 1]):
            low = search(word_below, low, high, word[node])
            suffix[node] = low
    return suffix


@compiled
def _interpolate(first, adjusted, kept, discount, suffix, lower, is_context):
    """P (kept only if `is_context`) and ln P of each n-gram that is kept, and ln of each context's back-off weight."""
    contexts = len(first) - 1
    probability = np.full(len(kept) if is_context else 0, np.nan)
    logp = np.empty(len(kept), np.float32)
    weights = np.zeros(contexts, np.float32)
    for context in range(contexts):
        total, held_back = 0.0, 0.0
        for i in range(first[context], first[context + 1]):
            total += adjusted[i]
            held_back += discount[min(adjusted[i], 3)] if kept[i] else adjusted[i]
        if total == 0:
            continue
        weight = held_back / total
        weights[context] = np.log(weight)
        for i in range(first[context], first[context + 1]):
            if kept[i]:
                p = (adjusted[i] - discount[min(adjusted[i], 3)]) / total + weight * lower[suffix[i]]
                logp[i] = np.log(p)
                if is_context:
                    probability[i] = p
    return probability, logp, weights
