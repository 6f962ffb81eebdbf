"""Queries of an n-gram model, for use inside compiled functions: a state and a word -> ln P and the next state."""

import numpy as np

from asr.lm.trie import search
from asr.utils.numba_cache import uncounted


@uncounted(forceinline=True)
def find(arrays, state, word):
    """ln P(word | state), float64, and the node of the longest n-gram that the model has for it."""
    logp, state = 0.0, np.int64(state)
    while state > 0:
        end = np.int64(arrays.children[state + 1])
        node = search(arrays.word, np.int64(arrays.children[state]), end, word)
        if node < end and arrays.word[node] == word:
            return logp + arrays.logp[node], node
        logp += arrays.backoff[state]
        state = np.int64(arrays.suffix[state])
    return logp + arrays.logp[word + 1], np.int64(word) + 1


@uncounted(forceinline=True)
def query(arrays, state, word):
    """ln P(word | state), float64, and the next state, int64. Words are ids, 0 is the empty state.

    For use inside other compiled functions as well: a few dozen nanoseconds while the caches hold the n-grams.
    """
    logp, node = find(arrays, state, word)
    return logp, np.int64(arrays.next[node])
