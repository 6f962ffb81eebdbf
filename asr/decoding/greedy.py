"""Greedy CTC decoding: the best token of each frame, repeats merged, blanks dropped (Graves et al. 2006)."""

from dataclasses import dataclass

import numpy as np

from asr.text.tokenizer import BLANK


@dataclass(frozen=True)
class Tokens:
    """Decoded tokens of one utterance, `(tokens,)` each."""

    indices: np.ndarray
    starts: np.ndarray  # output frame where the token is first the best
    ends: np.ndarray  # output frame after the last in which it is
    log_probabilities: np.ndarray  # of the token in the frame where it is most certain


def greedy(log_probabilities: np.ndarray, lengths: np.ndarray) -> list[Tokens]:
    """Decode `(batch, frames, tokens)` log-probabilities with `(batch,)` lengths in frames."""
    best = log_probabilities.argmax(axis=-1)
    top = np.take_along_axis(log_probabilities, best[..., None], axis=-1)[..., 0]
    return [_merge(best[i, :length], top[i, :length]) for i, length in enumerate(lengths)]


def blank_rate(log_probabilities: np.ndarray, lengths: np.ndarray) -> tuple[int, int]:
    """How many frames of `(batch, frames, tokens)` have the blank as their best token, and how many frames there are.

    `lengths` `(batch,)` are in frames.
    """
    inside = np.arange(log_probabilities.shape[1]) < np.asarray(lengths)[:, None]
    return int(((log_probabilities.argmax(axis=-1) == BLANK) & inside).sum()), int(inside.sum())


def _merge(best: np.ndarray, top: np.ndarray) -> Tokens:
    """Runs of one token, blanks left out; `best` and `top` are `(frames,)`."""
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    ends = np.append(starts[1:], len(best))
    peaks = np.maximum.reduceat(top, starts) if len(starts) else top[:0]
    spoken = best[starts] != BLANK
    return Tokens(best[starts][spoken], starts[spoken], ends[spoken], peaks[spoken])
