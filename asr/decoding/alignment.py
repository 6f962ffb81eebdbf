"""When tokens were said: the likeliest CTC alignment of a known token sequence (Graves et al. 2006)."""

import numpy as np

from asr.decoding.greedy import Tokens
from asr.kernel import compiled
from asr.text import BLANK


def align(emission: np.ndarray, tokens: np.ndarray) -> Tokens:
    """The frames of each token: `emission` `(frames, tokens)` log-probabilities, `tokens` `(labels,)`.

    Frames must be at least as many as `asr.text.frames_needed(tokens)`.
    """
    tokens = np.asarray(tokens, np.int64)
    if not len(tokens):
        nothing = np.zeros(0, np.int64)
        return Tokens(nothing, nothing, nothing, np.zeros(0))
    starts, ends = _viterbi(np.ascontiguousarray(emission, np.float32), tokens)
    peaks = np.array([emission[a:b, token].max() for a, b, token in zip(starts, ends, tokens, strict=True)])
    return Tokens(tokens, starts, ends, peaks)


@compiled
def _viterbi(emission, tokens):
    """First frame and frame after the last of each token, `(2, labels)`, on the likeliest path.

    States alternate: blank, first token, blank, second token, ... Each frame keeps, for each state, how far back
    the state before it was: 0, 1 or 2.
    """
    frames, states = len(emission), 2 * len(tokens) + 1
    back = np.zeros((frames, states), np.uint8)
    score = np.full(states, -np.inf)
    score[0], score[1] = emission[0, BLANK], emission[0, tokens[0]]
    for t in range(1, frames):
        for s in range(min(states, 2 * t + 2) - 1, -1, -1):
            token = tokens[s >> 1] if s & 1 else BLANK
            best, step = score[s], 0
            if s >= 1 and score[s - 1] > best:
                best, step = score[s - 1], 1
            if s & 1 and s >= 3 and token != tokens[(s >> 1) - 1] and score[s - 2] > best:
                best, step = score[s - 2], 2
            score[s], back[t, s] = best + emission[t, token], step
    bounds = np.zeros((2, len(tokens)), np.int64)
    s = states - 1 if score[states - 1] >= score[states - 2] else states - 2
    for t in range(frames - 1, -1, -1):
        if s & 1:
            bounds[0, s >> 1] = t
            if bounds[1, s >> 1] == 0:
                bounds[1, s >> 1] = t + 1
        s -= back[t, s]
    return bounds
