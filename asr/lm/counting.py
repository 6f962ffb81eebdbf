"""Counting n-grams of all orders by sorting, a chunk of text at a time.

An n-gram is the pair (rank of its context among the distinct (n-1)-grams, last word), one 64-bit integer at any order.
Word ids and ranks of the text are in temporary files, so memory grows with the number of distinct n-grams, not with the
length of the text.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from asr.errors import LanguageModelError
from asr.lm.corpus import BEGIN_ID
from asr.lm.trie import search
from asr.utils.numba_cache import compiled

CHUNK = 1 << 23  # words sorted at once: 64 MB of keys


@dataclass
class Counts:
    """The distinct n-grams of one order, sorted by context, then word."""

    first: np.ndarray  # int64 (n-grams of the order below + 1,) where the continuations of each begin
    word: np.ndarray  # int32 (n-grams,)
    count: np.ndarray  # int32 or int64 (n-grams,) occurrences


class Column:
    """An int32 array in a temporary file, written sequentially and then read in chunks."""

    def __init__(self):
        self._file = tempfile.TemporaryFile(prefix="asr-lm-")  # noqa: SIM115 (deleted with the object)
        self.size = 0

    def append(self, values: np.ndarray) -> None:
        """Append values, `(count,)`."""
        try:
            values.astype(np.int32, copy=False).tofile(self._file)
        except OSError as error:
            raise LanguageModelError(
                f"{tempfile.gettempdir()}: no room for the text's word ids, 4 bytes per word and order but the last; "
                "set TMPDIR to a folder with more"
            ) from error
        self.size += len(values)

    def chunks(self) -> Iterator[np.ndarray]:
        """All values, `(count,)` int32 at a time."""
        self._file.flush()
        self._file.seek(0)
        while len(chunk := np.fromfile(self._file, np.int32, CHUNK)):
            yield chunk


class Text:
    """Sentences as word ids, `<s>` and `</s>` included, with ids that may still change."""

    def __init__(self):
        self._ids = Column()
        self.counts = np.zeros(0, np.int64)  # occurrences of each id
        self._new_ids: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Words, each sentence's begin and end included."""
        return self._ids.size

    def append(self, ids: np.ndarray) -> None:
        """Add sentences: the ids of their words, `(words,)`."""
        counts = np.bincount(ids, minlength=len(self.counts))
        counts[: len(self.counts)] += self.counts
        self.counts = counts
        self._ids.append(ids)

    def relabel(self, new_ids: np.ndarray) -> None:
        """Replace each id by `new_ids[id]`; several may become equal. Call it once, before counting."""
        self._new_ids = new_ids.astype(np.int32)
        self.counts = np.bincount(new_ids, self.counts, minlength=int(new_ids.max()) + 1).astype(np.int64)

    def chunks(self) -> Iterator[np.ndarray]:
        """The ids, `(words,)` int32 at a time."""
        for chunk in self._ids.chunks():
            yield chunk if self._new_ids is None else self._new_ids[chunk]


def count_orders(text: Text, order: int, track=lambda chunks, _description, _total: chunks) -> list[Counts]:
    """The distinct n-grams of orders 1 to `order`. `track(chunks, description, total)` may show progress."""
    words = len(text.counts)
    kind = np.int32 if text.size < 2**31 else np.int64
    levels = [Counts(np.array([0, words]), np.arange(words, dtype=np.int32), text.counts.astype(kind))]
    total = -(-text.size // CHUNK)
    ranks: Column | None = None  # of the n-gram one order below that ends at each word; None: the words' ids
    for n in range(2, order + 1):
        runs, last = _Runs(kind), -1
        bits = max(1, (words - 1).bit_length())
        for ids, below in track(_with_ranks(text, ranks), f"counting {n}-grams", total):
            keys = _keys(ids, below, last, bits)
            last = int(below[-1])
            keys.sort()
            runs.add(*_distinct(keys, kind(1)))
        keys, count = runs.merged()
        if len(keys) >= 2**31:
            raise LanguageModelError(f"{len(keys):,} different {n}-grams, more than 2^31: choose a lower --order")
        first = np.zeros(len(levels[-1].word) + 1, np.int64)
        np.cumsum(np.bincount(keys >> bits, minlength=len(first) - 1), out=first[1:])
        levels.append(Counts(first, (keys & ((1 << bits) - 1)).astype(np.int32), count))
        del keys, runs
        if n < order:
            column, last = Column(), -1
            for ids, below in track(_with_ranks(text, ranks), f"ranking {n}-grams", total):
                column.append(_ranks(ids, below, last, levels[-1].first, levels[-1].word))
                last = int(below[-1])
            ranks = column
    return levels


def _with_ranks(text: Text, ranks: Column | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if ranks is None:
        return ((ids, ids) for ids in text.chunks())
    return zip(text.chunks(), ranks.chunks(), strict=True)


class _Runs:
    """Sorted runs of (keys, counts), merged as in merge sort, so that no key is moved often."""

    def __init__(self, kind: type):
        self._runs: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0, np.int64), np.empty(0, kind))]

    def add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        self._runs.append((keys, counts))
        while len(self._runs) > 1 and 2 * len(self._runs[-1][0]) >= len(self._runs[-2][0]):
            self._merge_last()

    def merged(self) -> Sequence[np.ndarray]:
        while len(self._runs) > 1:
            self._merge_last()
        return self._runs.pop()

    def _merge_last(self) -> None:
        right, left = self._runs.pop(), self._runs.pop()
        self._runs.append(_merge(*left, *right) if len(left[0]) else right)


@compiled
def _keys(ids, below, last, bits):
    """The keys of all n-grams that end in this chunk; none ends in <s> or spans it."""
    keys = np.empty(len(ids), np.int64)
    filled = 0
    context = np.int64(last)
    for i in range(len(ids)):
        if context >= 0 and ids[i] != BEGIN_ID:
            keys[filled] = (context << bits) | ids[i]
            filled += 1
        context = np.int64(below[i])
    return keys[:filled]


@compiled
def _distinct(keys, one):
    """The distinct values of sorted keys, and the count of each."""
    size = 0
    for i in range(len(keys)):
        size += i == 0 or keys[i] != keys[i - 1]
    distinct, counts = np.empty(size, np.int64), np.empty(size, type(one))
    size = -1
    for i in range(len(keys)):
        if i == 0 or keys[i] != keys[i - 1]:
            size += 1
            distinct[size], counts[size] = keys[i], 0
        counts[size] += one
    return distinct, counts


@compiled
def _merge(left, left_counts, right, right_counts):
    """Two sorted runs as one; counts of keys that both have are added."""
    size = i = k = 0
    while i < len(left) and k < len(right):
        a, b = left[i], right[k]
        i += a <= b
        k += b <= a
        size += 1
    size += len(left) - i + len(right) - k
    keys, counts = np.empty(size, np.int64), np.empty(size, left_counts.dtype)
    size = i = k = 0
    while i < len(left) or k < len(right):
        if k == len(right) or (i < len(left) and left[i] < right[k]):
            keys[size], counts[size] = left[i], left_counts[i]
            i += 1
        elif i == len(left) or right[k] < left[i]:
            keys[size], counts[size] = right[k], right_counts[k]
            k += 1
        else:
            keys[size], counts[size] = left[i], left_counts[i] + right_counts[k]
            i += 1
            k += 1
        size += 1
    return keys, counts


@compiled
def _ranks(ids, below, last, first, word):
    """The rank of the n-gram that ends at each word; -1 where there is none."""
    ranks = np.full(len(ids), -1, np.int32)
    context = np.int64(last)
    for i in range(len(ids)):
        if context >= 0 and ids[i] != BEGIN_ID:
            ranks[i] = search(word, first[context], first[context + 1], ids[i])
        context = np.int64(below[i])
    return ranks
