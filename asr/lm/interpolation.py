"""Models whose files hold the terms of an interpolation, as IRSTLM's build-lm.sh writes them (iARPA)."""

import numpy as np

from asr.lm.query import query
from asr.lm.trie import Trie, link
from asr.utils.numba_cache import compiled


def interpolate(trie: Trie) -> Trie:
    """The back-off model of an interpolated one: P(w | context) = f(w | context) + weight(context) P(w | suffix).

    The trie has ln f in place of ln P, in an order above 1 (IRSTLM's lmtable.cpp does the same).
    """
    logp = trie.logp.copy()
    arrays = link(trie)
    mutable = arrays._replace(logp=logp)
    missing = np.isnan(logp)
    logp[missing] = arrays.logp[missing]
    _interpolate(mutable, missing)
    trie.logp = logp
    return trie


@compiled
def _interpolate(arrays, missing):
    """Lower orders come first, so that the probabilities of suffixes are complete."""
    for context in range(1, len(arrays.backoff)):
        for node in range(arrays.children[context], arrays.children[context + 1]):
            below, _ = query(arrays, np.int64(arrays.suffix[context]), np.int64(arrays.word[node]))
            below += arrays.backoff[context]
            term = -np.inf if missing[node] else np.float64(arrays.logp[node])
            largest = max(term, below)
            arrays.logp[node] = largest + np.log(np.exp(term - largest) + np.exp(below - largest))
