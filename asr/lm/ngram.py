"""N-gram language models as the decoder asks them: a state, a word -> ln P and the next state."""

import os
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from asr.kernel import kernel
from asr.lm.trie import BEGIN, END, UNKNOWN, ByOrder, NgramArrays, Trie, link, search

_MARKUP = re.compile(r"<[^<>]*>")

__all__ = ["NgramArrays", "NgramModel", "find", "query"]


@kernel
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


@kernel
def query(arrays, state, word):
    """ln P(word | state), float64, and the next state, int64. Words are ids, 0 is the empty state.

    For use inside other compiled functions as well: a few dozen nanoseconds while the caches hold the n-grams.
    """
    logp, node = find(arrays, state, word)
    return logp, np.int64(arrays.next[node])


class NgramModel(ByOrder):
    """A back-off n-gram language model.

    >>> model = NgramModel.load("3gram.arpa")  # doctest: +SKIP
    >>> model.score("the cat".split())  # doctest: +SKIP
    [(-2.31, 2), (-9.87, 1), (-3.02, 2)]
    """

    def __init__(self, arrays: NgramArrays, starts: Iterable[int], words: Iterable[str] | bytes):
        """`words` is the list, or its UTF-8 text with a word a line, which is only read once it is needed."""
        self.arrays = arrays
        self.starts = tuple(starts)  # first node of each order, as in `Trie`
        self._words = words

    @classmethod
    def from_trie(cls, trie: Trie) -> "NgramModel":
        """The model of a trie, in memory."""
        return cls(link(trie), trie.starts, trie.words)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "NgramModel":
        """Read an ARPA file (plain, .gz or .xz) or a compiled model.

        An ARPA file is compiled once, into `NAME.asrlm` beside it or, where that folder can't be written to, into
        the user's cache folder; a compiled file whose ARPA has changed is made again. Raises `LanguageModelError`.
        """
        from asr.lm.compiled import load_model

        return load_model(Path(path))

    @cached_property
    def words(self) -> list[str]:
        """Word of each id."""
        if isinstance(self._words, bytes):
            return self._words.decode().split("\n")
        return list(self._words)

    @property
    def spoken_words(self) -> list[str]:
        """The words without <s>, </s>, <unk> and other markup, which nobody says."""
        return [word for word in self.words if not _MARKUP.fullmatch(word)]

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Id of each word."""
        return {word: id for id, word in enumerate(self.words)}

    @property
    def unknown(self) -> int:
        """Id of <unk>, which stands for all words that the model doesn't know."""
        return self.index[UNKNOWN]

    @property
    def begin(self) -> int:
        """State at the start of a sentence."""
        return int(self.arrays.next[self.index[BEGIN] + 1]) if BEGIN in self.index else 0

    @property
    def end(self) -> int:
        """Id of </s>, the end of a sentence; -1 when the model has none."""
        return self.index.get(END, -1)

    def score(self, words: Iterable[str]) -> list[tuple[float, int]]:
        """ln P and the number of words of the n-gram that was found, for each word of a sentence and for its end.

        The end has no entry in models without </s>. Unknown words are scored as <unk>.
        """
        ids = [self.index.get(word, self.unknown) for word in words] + [self.end] * (self.end >= 0)
        scores, state = [], self.begin
        for id in ids:
            logp, node = find(self.arrays, state, id)
            scores.append((float(logp), int(np.searchsorted(self.starts, node, "right")) - 1))
            state = int(self.arrays.next[node])
        return scores
