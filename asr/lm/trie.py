"""The n-grams of a back-off model as a trie in flat arrays, the form that all of this package works on.

Nodes are n-grams: node 0 is the empty context, nodes 1..V are the unigrams in the order of word ids (node = word
id + 1), followed by the bigrams grouped by their first word, the trigrams grouped by their first two, and so on.
Within a group nodes are sorted by word id, so a group can be searched by bisection (Pauls & Klein 2011 compare such
layouts). Nodes of every order below the highest are *contexts*, which can have children.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from asr.errors import LanguageModelError
from asr.utils.numba_cache import compiled, kernel

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"

#: ln P of <unk> in a model whose ARPA file has none: log10 P = -100, as in KenLM.
MISSING_UNKNOWN = -100 * float(np.log(10))


class NgramArrays(NamedTuple):
    """A back-off model as plain read-only arrays, for `query` inside compiled loops."""

    word: np.ndarray  # int32 (nodes,) last word of the n-gram; -1 for the empty context
    logp: np.ndarray  # float32 (nodes,) ln P(last word | words before it)
    backoff: np.ndarray  # float32 (contexts,) ln of the back-off weight; 0 for the empty context
    children: np.ndarray  # int32 (contexts + 1,) continuations of context c: nodes children[c] to children[c + 1] - 1
    suffix: np.ndarray  # int32 (contexts,) the longest proper suffix of the context that is a context too
    next: np.ndarray  # int32 (nodes,) the state after the n-gram: its longest suffix that later words can depend on


class ByOrder:
    """Order and size of a model, from the first node of each order."""

    starts: tuple[int, ...]  # starts[k]: the first node of order k; the last entry is the number of nodes

    @property
    def order(self) -> int:
        """Words of the longest n-grams."""
        return len(self.starts) - 2

    @property
    def counts(self) -> list[int]:
        """Number of n-grams of each order, from 1."""
        return [int(self.starts[k + 1] - self.starts[k]) for k in range(1, self.order + 1)]


@dataclass
class Trie(ByOrder):
    """A model under construction: the content of an ARPA file, without the links that queries need."""

    words: list[str]  # id -> word; <unk> is always among them
    starts: tuple[int, ...]  # starts[k]: the first node of order k; the last entry is the number of nodes
    word: np.ndarray  # int32 (nodes,)
    logp: np.ndarray  # float32 (nodes,); NaN: to be computed by backing off
    backoff: np.ndarray  # float32 (contexts,)
    children: np.ndarray  # int32 (contexts + 1,)

    def parents(self, order: int) -> np.ndarray:
        """The context of each n-gram of an order, int32 `(n-grams,)`."""
        contexts = np.arange(self.starts[order - 1], self.starts[order], dtype=np.int32)
        return np.repeat(contexts, np.diff(self.children[self.starts[order - 1] : self.starts[order] + 1]))


def build_trie(
    words: list[str],
    contexts: list[np.ndarray],
    word: list[np.ndarray],
    logp: list[np.ndarray],
    backoff: list[np.ndarray],
) -> Trie:
    """A trie from one array per order: each n-gram's context (its index in the order below), last word, ln P and ln of
    its back-off weight.

    N-grams come sorted by context, then word; unigrams are all words in order, their contexts all 0. `backoff` has no
    entry for the highest order. Highest orders without n-grams are omitted.
    """
    while len(word) > 1 and len(word[-1]) == 0 and not backoff[-1].any():
        contexts, word, logp, backoff = contexts[:-1], word[:-1], logp[:-1], backoff[:-1]
    sizes = [1, *map(len, word)]
    starts = (0, *np.cumsum(sizes).tolist())
    if starts[-1] >= 2**31:
        raise LanguageModelError(f"{starts[-1]:,} n-grams, more than a model can have (2^31): prune them")
    degrees = [np.bincount(c, minlength=size) for c, size in zip(contexts, sizes, strict=False)]
    children = np.ones(sum(sizes[:-1]) + 1, np.int32)
    np.cumsum(np.concatenate(degrees), out=children[1:], dtype=np.int32)
    children[1:] += 1
    return Trie(
        words,
        starts,
        np.concatenate([np.full(1, -1, np.int32), *word], dtype=np.int32),
        np.concatenate([np.zeros(1, np.float32), *logp], dtype=np.float32),
        np.concatenate([np.zeros(1, np.float32), *backoff], dtype=np.float32),
        children,
    )


def link(trie: Trie) -> NgramArrays:
    """Add the links that queries follow, and the probabilities that the trie lacks."""
    nodes = trie.starts[-1]
    suffix, following = np.zeros(nodes, np.int32), np.zeros(nodes, np.int32)
    _link(trie.word, trie.logp, trie.backoff, trie.children, suffix, following)
    arrays = (trie.word, trie.logp, trie.backoff, trie.children, suffix[: len(trie.backoff)].copy(), following)
    return freeze(NgramArrays(*arrays))


def freeze(arrays: NgramArrays) -> NgramArrays:
    """The same memory as plain read-only arrays, so that compiled functions see one type wherever a model is from."""
    frozen = [np.ascontiguousarray(array).view(np.ndarray) for array in arrays]
    for array in frozen:
        array.flags.writeable = False
    return NgramArrays(*frozen)


@kernel
def search(word, low, high, wanted):
    """The first node from `low` to `high` (exclusive) whose word is not below `wanted`; `high` if there is none.

    Galloping precedes bisection (Bentley & Yao 1976): frequent words have low ids in models trained by this program, so
    they are near the beginning, which is also in the processor's cache.
    """
    step = 1
    while low + step < high and word[low + step] < wanted:
        low += step
        step += step
    high = min(high, low + step + 1)
    while low < high:
        middle = (low + high) >> 1
        if word[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _link(word, logp, backoff, children, suffix, following):
    contexts = len(backoff)
    for context in range(contexts):
        first = np.int64(children[suffix[context]])
        for node in range(children[context], children[context + 1]):
            # The longest suffix: the same word below the longest suffix of the context that has it. Siblings are
            # sorted by word, so the search below the nearest suffix continues from the last match.
            wanted, weight, found = word[node], np.float64(backoff[context]), 0
            state = np.int64(suffix[context])
            while context > 0:
                if state == 0:
                    found = wanted + 1
                    break
                end = np.int64(children[state + 1])
                if state == suffix[context]:
                    place = first = search(word, first, end, wanted)
                else:
                    place = search(word, np.int64(children[state]), end, wanted)
                if place < end and word[place] == wanted:
                    found = place
                    break
                weight += backoff[state]
                state = np.int64(suffix[state])
            suffix[node] = found
            if np.isnan(logp[node]):
                logp[node] = weight + logp[found]
            # A state without continuations and with back-off weight 1 is equivalent to its suffix: hypotheses that
            # differ only there can be merged (Li & Khudanpur 2008; KenLM's state minimisation).
            useful = node < contexts and (children[node + 1] > children[node] or backoff[node] != 0)
            following[node] = node if useful else following[found]
