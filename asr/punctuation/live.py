"""Punctuation of a stream of words, a few words behind them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from asr.punctuation.labeller import CONTEXT, Labeller
from asr.punctuation.labels import write
from asr.punctuation.pauses import pauses_between
from asr.transcript import Word

LOOK_AHEAD = 4  # words that must follow a word before it is written, if no pause does


class LiveWriter:
    """Writes the words of one stream. A word is written once and never changes."""

    def __init__(self, labeller: Labeller | None):
        """Without a labeller, words are written at once as they are."""
        self._labeller = labeller
        self._words: list[Word] = []  # written ones as context, then those that wait
        self._labels = np.zeros((2, 0), np.int64)  # case and mark of each word written

    def add(self, new: Sequence[Word], following: Sequence[Word], pause: bool) -> tuple[Word, ...]:
        """The words that are written now, given new final words, those after them, which may still change, and whether
        a pause follows the final ones. With a pause, no word waits."""
        if self._labeller is None:
            return tuple(new)
        self._words += new
        done, known = self._labels.shape[1], [*self._words, *([] if pause else following)]
        ready = len(known) if pause else min(len(self._words), len(known) - LOOK_AHEAD)
        if ready <= done:
            return ()
        texts = [word.text for word in known]
        labels = np.stack(self._labeller.label(texts, pauses_between(known)))
        labels[:, :done] = self._labels
        written = [*write(texts, *labels)][done:ready]
        found = tuple(replace(known[done + i], text="".join(pair)) for i, pair in enumerate(written))
        first = max(0, ready - CONTEXT)
        self._words, self._labels = self._words[first:], labels[:, first:ready]
        return found

    @property
    def waiting(self) -> tuple[Word, ...]:
        """Final words that are not written yet."""
        return tuple(self._words[self._labels.shape[1] :])
