"""When tokens were said: the likeliest CTC alignment of a known token sequence (Graves et al. 2006)."""

from dataclasses import dataclass

import numpy as np

from asr.decoding.greedy import Tokens
from asr.text.tokenizer import BLANK
from asr.utils.numba_cache import compiled

MOST_CELLS = 1 << 26  # of the table of steps that is kept at once: 64 MB


@dataclass(frozen=True)
class Slack:
    """What an alignment may leave out, where text and speech differ."""

    gap: np.ndarray  # (frames,) log-probability of a frame that belongs to no word
    skips: np.ndarray  # (labels,) nats for leaving out the word that begins with this token; 0 within a word
    following: np.ndarray  # (labels,) for the first token of a word, the first one of the next word


def align(emission: np.ndarray, tokens: np.ndarray, slack: Slack | None = None) -> Tokens:
    """The frames of each token: `emission` `(frames, tokens)` log-probabilities, `tokens` `(labels,)`.

    Without `slack`, there must be at least `asr.text.tokenizer.frames_needed(tokens)` frames; with it, tokens of words
    that are left out have no frames: their end is their start. Time is proportional to frames times labels, memory to
    the square root of that: steps are recomputed block by block from scores kept at the start of each block.
    """
    tokens = np.asarray(tokens, np.int64)
    if not len(tokens):
        nothing = np.zeros(0, np.int64)
        return Tokens(nothing, nothing, nothing, np.zeros(0))
    emission = np.ascontiguousarray(emission, np.float32)
    if slack is None:
        nowhere = np.zeros(len(tokens), np.int64)
        slack = Slack(np.ascontiguousarray(emission[:, BLANK]), np.zeros(len(tokens)), nowhere)
    starts, ends = _viterbi(emission, tokens, slack.gap, slack.skips, slack.following, MOST_CELLS)
    peaks = np.array(
        [emission[a:b, token].max() if b > a else -np.inf for a, b, token in zip(starts, ends, tokens, strict=True)]
    )
    return Tokens(tokens, starts, ends, peaks)


@compiled
def _viterbi(emission, tokens, gap, skips, following, most_cells):
    """First frame and frame after the last of each token, `(2, labels)`, on the likeliest path."""
    frames, states = len(emission), 2 * len(tokens) + 1
    size = min(frames, max(1, most_cells // states))
    kept = np.full(((frames + size - 1) // size, states), -np.inf)
    score = np.full(states, -np.inf)
    score[0] = 0.0
    nothing = np.zeros((0, states), np.uint8)
    for part in range(len(kept)):
        kept[part] = score
        if part < len(kept) - 1:
            _advance(score, part * size, (part + 1) * size, emission, tokens, gap, skips, following, nothing)
    bounds = np.zeros((2, len(tokens)), np.int64)
    back = np.zeros((size, states), np.uint8)
    s = -1
    for part in range(len(kept) - 1, -1, -1):
        first, end = part * size, min(frames, (part + 1) * size)
        score[:] = kept[part]
        _advance(score, first, end, emission, tokens, gap, skips, following, back)
        if s < 0:
            s = states - 1 if score[states - 1] >= score[states - 2] else states - 2
        for t in range(end - 1, first - 1, -1):
            step = back[t - first, s]
            while step == 3:
                word = s >> 1
                s = 2 * _word_before(following, word)
                step = back[t - first, s]
            if s & 1:
                bounds[0, s >> 1] = t
                if bounds[1, s >> 1] == 0:
                    bounds[1, s >> 1] = t + 1
            s -= step
    return bounds


@compiled
def _word_before(following, token):
    """The first token of the word before the one that begins with `token`."""
    place = token - 1
    while following[place] != token:
        place -= 1
    return place


@compiled
def _advance(score, first, end, emission, tokens, gap, skips, following, back):
    """The best score of each state after frames `first` to `end`, in place of those before; steps go to `back`.

    States alternate: blank, first token, blank, second token, ... A step says how far back the state before it was:
    0, 1 or 2; or 3, the blank before the word that is left out here, in the same frame. Before the first frame there
    is only a state 0, whose score is 0.
    """
    states = len(score)
    for t in range(first, end):
        for s in range(states - 1, -1, -1):
            token = tokens[s >> 1] if s & 1 else BLANK
            best, step = score[s], 0
            if s >= 1 and score[s - 1] > best:
                best, step = score[s - 1], 1
            if s & 1 and s >= 3 and token != tokens[(s >> 1) - 1] and score[s - 2] > best:
                best, step = score[s - 2], 2
            between = s % 2 == 0 and (s == states - 1 or skips[s >> 1] > 0)
            score[s] = best + (gap[t] if between else emission[t, token])
            if len(back):
                back[t - first, s] = step
        for place in range(len(tokens)):
            if skips[place] > 0:
                s = 2 * following[place]
                if score[2 * place] - skips[place] > score[s]:
                    score[s] = score[2 * place] - skips[place]
                    if len(back):
                        back[t - first, s] = 3
    return score
