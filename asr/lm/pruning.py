"""Entropy pruning (Stolcke 1998): omit the n-grams that contribute least to the model.

Omitting an n-gram changes one context's distribution; its cost is the relative entropy between the model before and
after, in nats per word of the text. Unlike Stolcke's, the probability of a context is its share of the text rather than
the model's: lower-order Kneser-Ney estimates are probabilities of words after *unseen* contexts, and pruning by them
removes the wrong n-grams (Chelba et al. 2010).
"""

import numpy as np

from asr.lm.query import query
from asr.lm.trie import Trie, build_trie, link
from asr.utils.numba_cache import compiled


def prune_by_entropy(trie: Trie, share: np.ndarray, threshold: float) -> Trie:
    """The model without the n-grams that cost less than `threshold` nats per word, with new back-off weights.

    `share` is the probability of each context, float64 `(contexts,)`. Contexts of n-grams that stay are kept.
    """
    arrays = link(trie)
    keep = np.ones(len(arrays.word), np.bool_)
    for order in range(trie.order, 1, -1):
        _mark(arrays, trie.starts[order - 1], trie.starts[order], share, threshold, keep)
    return _reweight(_without(trie, keep))


def _without(trie: Trie, keep: np.ndarray) -> Trie:
    """The n-grams to keep, with their old back-off weights."""
    contexts, place = [np.zeros(trie.starts[2] - 1, np.int32)], None
    for order in range(2, trie.order + 1):
        kept_below = keep[trie.starts[order - 1] : trie.starts[order]]
        place = np.cumsum(kept_below, dtype=np.int32) - 1
        kept = keep[trie.starts[order] : trie.starts[order + 1]]
        contexts.append(place[trie.parents(order)[kept] - trie.starts[order - 1]])
    ranges = [slice(trie.starts[order], trie.starts[order + 1]) for order in range(1, trie.order + 1)]
    return build_trie(
        trie.words,
        contexts,
        [trie.word[part][keep[part]] for part in ranges],
        [trie.logp[part][keep[part]] for part in ranges],
        [trie.backoff[part][keep[part]] for part in ranges[:-1]],
    )


def _reweight(trie: Trie) -> Trie:
    """The same n-grams with the back-off weights that make each context's probabilities sum to 1."""
    arrays = link(trie)
    backoff = arrays.backoff.copy()
    linked = arrays._replace(backoff=_read_only(backoff))
    for order in range(2, trie.order + 1):
        # Order by order: the weights of longer contexts depend on those of shorter ones, changed just before.
        first, last = trie.starts[order - 1], trie.starts[order]
        backoff[first:last] = _weights(linked, first, last)
    trie.backoff = backoff
    return trie


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


@compiled
def _masses(arrays, context):
    """The mass that a context leaves to backing off, 1 minus P of its continuations, and the same for its suffix."""
    left, left_below = 1.0, 1.0
    for node in range(arrays.children[context], arrays.children[context + 1]):
        left -= np.exp(np.float64(arrays.logp[node]))
        left_below -= np.exp(query(arrays, arrays.suffix[context], arrays.word[node])[0])
    return left, left_below


@compiled
def _mark(arrays, first, last, share, threshold, keep):
    """Mark the continuations of the contexts from `first` to `last` that can be omitted."""
    contexts = len(arrays.backoff)
    for context in range(first, last):
        left, left_below = _masses(arrays, context)
        if left <= 0 or left_below <= 0:
            continue  # every word is a continuation
        weight = np.log(left / left_below)
        for node in range(arrays.children[context], arrays.children[context + 1]):
            if node < contexts:
                needed = False
                for child in range(arrays.children[node], arrays.children[node + 1]):
                    needed |= keep[child]
                if needed:
                    continue
            logp = np.float64(arrays.logp[node])
            below = query(arrays, arrays.suffix[context], arrays.word[node])[0]
            new_weight = np.log((left + np.exp(logp)) / (left_below + np.exp(below)))
            cost = np.exp(logp) * (logp - below - new_weight) + left * (weight - new_weight)
            keep[node] = share[context] * cost >= threshold


@compiled
def _weights(arrays, first, last):
    """ln of the back-off weights of some contexts."""
    weights = np.zeros(last - first, np.float32)
    for context in range(first, last):
        left, left_below = _masses(arrays, context)
        if arrays.children[context + 1] > arrays.children[context] and left > 0 and left_below > 0:
            weights[context - first] = np.log(left / left_below)
    return weights
