"""The baseline: the most frequent mark between two words, and case of a word, of the training text.

`lookup.py TRAIN TEST` prints the scores as `asr punctuate evaluate` does. Pairs that training never saw get the most
frequent mark behind the first word; words that it never saw are lower case and have no mark.
"""

import sys
from pathlib import Path

import numpy as np

from asr.punctuation.corpus import LabelledText, read_text
from asr.punctuation.evaluate import PunctuationReport
from asr.punctuation.labels import CAPITALISED, CASES, FULL_STOP, MARKS
from asr.punctuation.scores import PunctuationScores

UNKNOWN = -1


class Table:
    """The most frequent label of each key."""

    def __init__(self, keys: np.ndarray, labels: np.ndarray, size: int):
        pairs, counts = np.unique(keys * size + labels, return_counts=True)
        order = np.lexsort((counts, pairs // size))  # the most frequent label of a key last
        self._keys, first = np.unique((pairs // size)[order][::-1], return_index=True)
        self._labels = (pairs % size)[order][::-1][first]

    def __call__(self, keys: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        """The labels of some keys, or others for keys that are not in the table."""
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[places] == keys, self._labels[places], otherwise)


def predict(train: LabelledText, test: LabelledText) -> tuple[np.ndarray, np.ndarray]:
    """The cases and the marks of a text's words."""
    known = {word: index for index, word in enumerate(train.vocabulary)}
    words = np.array([known.get(word, UNKNOWN) for word in test.words])
    ids, nothing = train.ids.astype(np.int64), np.zeros(len(words), np.int64)
    size = len(train.vocabulary) + 1

    def pairs(found: np.ndarray) -> np.ndarray:
        return found * size + np.append(found[1:], UNKNOWN) + 1

    marks = Table(ids, train.marks, len(MARKS))(words, nothing)
    marks = Table(pairs(ids), train.marks, len(MARKS))(pairs(words), marks)
    cases = Table(ids, train.cases, len(CASES))(words, nothing)
    starts = np.append(True, marks[:-1] == FULL_STOP)
    return np.where(starts, np.maximum(cases, CAPITALISED), cases), marks


if __name__ == "__main__":
    train, test = (read_text([Path(name)]) for name in sys.argv[1:3])
    scores = PunctuationScores.of((test.cases, test.marks), predict(train, test))
    print(PunctuationReport(scores, len(test), test.left_out).to_text())
