"""What the pause after a word says about the mark there, in addition to the words.

The logarithm of how much more often a mark than no mark is followed by a pause of this length, counted over 1,290
words of one reader of LibriSpeech (recipes/punctuation), and halved: other speakers hesitate within sentences.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from asr.punctuation.labels import COMMA, FULL_STOP, LOWER, MARKS, NONE
from asr.transcript import Word

LIMITS = (0.05, 0.15, 0.3, 0.5)  # seconds
COMMAS = (-0.6, -0.2, 1.0, 1.9, 2.2)  # nats, for pauses below the first limit, the second, ...
ENDS = (-2.2, -1.2, 0.2, 1.8, 3.3)  # likewise, for all other marks
TAKEN_BACK = 2.0  # nats less for a capital letter where a pause too short has taken a full stop away


def pauses_between(words: Sequence[Word]) -> np.ndarray:
    """Seconds from the end of each word to the start of the next, `(words,)`; infinite behind the last one."""
    gaps = [after.start - before.end for before, after in pairwise(words)]
    return np.array([*gaps, np.inf][: len(words)])


def mark_offsets(pauses: np.ndarray) -> np.ndarray:
    """What to add to the scores of the marks: `(words,)` seconds -> `(words, marks)` nats."""
    place = np.digitize(pauses, LIMITS)
    offsets = np.repeat(np.take(ENDS, place)[:, None], len(MARKS), axis=1)
    offsets[:, COMMA], offsets[:, NONE] = np.take(COMMAS, place), 0
    return offsets


def with_pauses(cases: np.ndarray, marks: np.ndarray, pauses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores `(words, cases)` and `(words, marks)` that take the pauses into account."""
    timed = marks + mark_offsets(pauses)
    taken = (marks.argmax(-1) == FULL_STOP) & (timed.argmax(-1) != FULL_STOP)
    cases = cases.copy()
    cases[1:, LOWER] += TAKEN_BACK * taken[:-1]
    return cases, timed
