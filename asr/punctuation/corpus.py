"""Punctuated text -> word ids with labels, in examples of a bounded length."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from asr.errors import TextError
from asr.punctuation.features import word_features
from asr.punctuation.labels import COMMA, ENDS, FULL_STOP, LOWER, NONE, LabelledWord, read_piece
from asr.utils.compressed_text import read_blocks

WHOLE = 1 / 8  # of the examples end where a sentence ends


@dataclass(frozen=True)
class LabelledText:
    """Words of a text in order, with their labels."""

    vocabulary: list[str]
    ids: np.ndarray  # (words,) int32, positions in the vocabulary
    cases: np.ndarray  # (words,) uint8
    marks: np.ndarray  # (words,) uint8
    left_out: int = 0  # paragraphs with digits, or in capital letters only

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def words(self) -> list[str]:
        """The words themselves."""
        return [self.vocabulary[index] for index in self.ids]

    def features(self, buckets: int) -> np.ndarray:
        """`(vocabulary, FEATURES)`: the features of each word of the vocabulary."""
        return word_features(self.vocabulary, buckets)

    def digest(self) -> str:
        """Changes when a word or a label does."""
        return hashlib.sha256(b"".join(each.tobytes() for each in (self.ids, self.cases, self.marks))).hexdigest()[:16]

    def split(self, at: int) -> "tuple[LabelledText, LabelledText]":
        """The words before a position, and those from it on."""
        before, after = (
            LabelledText(self.vocabulary, self.ids[part], self.cases[part], self.marks[part], self.left_out)
            for part in (slice(at), slice(at, None))
        )
        return before, after

    @cached_property
    def sentence_ends(self) -> np.ndarray:
        """Positions behind the last words of sentences."""
        return np.flatnonzero(np.isin(self.marks, ENDS)) + 1

    def windows(self, longest: int, seed: Sequence[int]) -> np.ndarray:
        """`(windows, 2)`: first word and number of words of examples that cover the text in order.

        They are cut anywhere, as a recording in parts would be, so that the network must find the ends of sentences by
        their words; one in eight is cut at the last one, where a whole recording ends.
        """
        random, ends, found, start = np.random.default_rng(seed), self.sentence_ends, [], 0
        while start < len(self):
            end = min(start + longest, len(self))
            index = int(np.searchsorted(ends, end, side="right")) - 1
            if random.random() < WHOLE and index >= 0 and ends[index] > start:
                end = int(ends[index])
            found.append((start, end - start))
            start = end
        return np.array(found, np.int64).reshape(-1, 2)


def plan_batches(windows: np.ndarray, batch_words: int, seed: Sequence[int]) -> list[np.ndarray]:
    """The windows' first words in batches of one length each, `(batch, words)` positions in the text, in random order.

    No batch needs padding; each has about `batch_words` words, or fewer where windows of its length run out.
    """
    random, batches = np.random.default_rng(seed), []
    random.shuffle(windows)
    windows = windows[np.argsort(windows[:, 1], kind="stable")]
    lengths, starts = np.unique(windows[:, 1], return_index=True)
    for length, rows in zip(lengths, np.split(windows[:, 0], starts[1:]), strict=True):
        size = max(1, batch_words // length)
        batches += [rows[at : at + size, None] + np.arange(length) for at in range(0, len(rows), size)]
    random.shuffle(batches)
    return batches


class BatchPlan:
    """The batches of a run by update: each epoch is planned when its first batch is asked for."""

    def __init__(self, plan: Callable[[int], list[np.ndarray]]):
        """`plan` gives the batches of an epoch, counted from 0."""
        self._plan, self._epoch, self._first, self._batches = plan, 0, 0, plan(0)

    @property
    def end(self) -> int:
        """The updates until the end of the epoch that was planned last."""
        return self._first + len(self._batches)

    def __getitem__(self, update: int) -> np.ndarray:
        """The batch of an update, which must not be of an earlier epoch than the last one asked for."""
        while update >= self.end:
            self._epoch, self._first = self._epoch + 1, self.end
            self._batches = self._plan(self._epoch)
        return self._batches[update - self._first]


def read_text(paths: Sequence[Path]) -> LabelledText:
    """The words of punctuated texts, a paragraph per line; plain, .gz or .xz.

    Paragraphs with digits, which speech spells out, or without lower-case letters are left out and counted. Raises
    `TextError` when a file cannot be read or no words are left.
    """
    vocabulary: dict[str, int] = {}
    columns: tuple[list[int], list[int], list[int]] = ([], [], [])
    pieces: dict[str, tuple[tuple[LabelledWord, ...], int] | None] = {}
    left_out = 0
    for line in _lines(paths):
        words = None if line.isupper() else _paragraph(line, pieces)
        if words is None:
            left_out += 1
            continue
        for word, case, mark in words:
            columns[0].append(vocabulary.setdefault(word, len(vocabulary)))
            columns[1].append(case)
            columns[2].append(mark)
    if not vocabulary:
        raise TextError(f"{', '.join(map(str, paths))}: no words; give text with punctuation, a paragraph per line")
    ids, cases, marks = (np.array(column, kind) for column, kind in zip(columns, "ibb", strict=True))
    return LabelledText(list(vocabulary), ids, cases.astype(np.uint8), marks.astype(np.uint8), left_out)


def _lines(paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        for block in read_blocks(path, TextError):
            try:
                yield from filter(None, map(str.strip, block.decode().split("\n")))
            except UnicodeDecodeError as error:
                raise TextError(f"{path}: not UTF-8 text ({error.reason}); convert it to UTF-8 with iconv") from error


def _paragraph(
    line: str, known: dict[str, tuple[tuple[LabelledWord, ...], int] | None]
) -> list[tuple[str, int, int]] | None:
    """The words of a paragraph with case and mark; None if it has digits."""
    words: list[tuple[str, int, int]] = []
    for piece in line.split():
        if piece not in known:
            known[piece] = read_piece(piece)
        found = known[piece]
        if found is None:
            return None
        if found[1] != NONE and words and words[-1][2] in (NONE, COMMA):
            words[-1] = (*words[-1][:2], found[1])
        for word in found[0]:
            # A full stop before a small letter is that of an abbreviation.
            if words and words[-1][2] == FULL_STOP and word.case == LOWER:
                words[-1] = (*words[-1][:2], NONE)
            words.append((word.text, word.case, word.mark))
    if words and words[-1][2] == COMMA:  # an ellipsis
        words[-1] = (*words[-1][:2], FULL_STOP)
    return words
