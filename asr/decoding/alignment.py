"""Where tokens are in a recording: the likeliest CTC alignment of a known token sequence (Graves et al. 2006)."""

from typing import NamedTuple

import numpy as np

from asr.decoding.arrays import frozen
from asr.decoding.greedy import Tokens
from asr.text.tokenizer import BLANK
from asr.utils.numba_cache import kernel, uncounted

MOST_CELLS = 1 << 26  # of the table of steps that is kept at once: 64 MB
STAY, SKIP, CLOSE = 0, 3, 4  # steps of a state; 1 and 2 are the states before it
OPEN_AFTER_BLANK, OPEN_AFTER_TOKEN = 1, 2  # steps of extra speech


class Slack(NamedTuple):
    """What an alignment may leave out, where text and speech differ."""

    silence: np.ndarray  # (frames,) log-probability of a frame between words without speech
    extra: np.ndarray  # (frames,) log-probability of a frame of speech that the tokens lack
    opening: float  # nats for each stretch of such speech
    skips: np.ndarray  # (labels,) nats for leaving out the word that begins with this token; 0 within a word
    following: np.ndarray  # (labels,) for the first token of a word, the first one of the next word


class Scores(NamedTuple):
    """The score of the likeliest path to each state. States alternate: blank, first token, blank, second token, ...

    Each blank between words has a state of extra speech beside it.
    """

    state: np.ndarray  # float64 (2 * labels + 1,)
    extra: np.ndarray  # float64 (labels + 1,)

    def copy(self) -> "Scores":
        return Scores(self.state.copy(), self.extra.copy())


class Steps(NamedTuple):
    """The last step of these paths at each frame of a block; no frames: steps are not kept."""

    state: np.ndarray  # uint8 (frames, 2 * labels + 1)
    extra: np.ndarray  # uint8 (frames, labels + 1)


class Path(NamedTuple):
    """The likeliest path."""

    starts: np.ndarray  # int64 (labels,) first frame of each token
    ends: np.ndarray  # int64 (labels,) frame after its last
    is_extra: np.ndarray  # bool (frames,) speech that the tokens lack


def align(emission: np.ndarray, tokens: np.ndarray) -> Tokens:
    """The frames of each token: `emission` `(frames, tokens)` log-probabilities, `tokens` `(labels,)`.

    There must be at least `asr.text.tokenizer.frames_needed(tokens)` frames.
    """
    nowhere, never = np.zeros(len(tokens), np.int64), np.full(len(emission), -np.inf, np.float32)
    blank = np.ascontiguousarray(emission[:, BLANK], np.float32)
    return align_loosely(emission, tokens, Slack(blank, never, np.inf, np.zeros(len(tokens)), nowhere))[0]


def align_loosely(emission: np.ndarray, tokens: np.ndarray, slack: Slack) -> tuple[Tokens, np.ndarray]:
    """The frames of each token, as of `align`, and which frames are speech that the tokens lack, `(frames,)`.

    Tokens of words that are left out have no frames: their end is their start. Time is proportional to frames times
    labels, memory to the square root of that: steps are recomputed block by block from scores kept at the start of
    each block.
    """
    tokens = np.asarray(tokens, np.int64)
    if not len(tokens):
        nothing = np.zeros(0, np.int64)
        return Tokens(nothing, nothing, nothing, np.zeros(0)), np.zeros(len(emission), bool)
    emission = frozen(np.asarray(emission, np.float32))
    path = _viterbi(emission, tokens, slack, MOST_CELLS)
    return Tokens(tokens, path.starts, path.ends, peaks(emission, path.starts, path.ends, tokens)), path.is_extra


def peaks(emission: np.ndarray, starts: np.ndarray, ends: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The highest log-probability of each token in its frames, `(labels,)`; -inf of one without frames."""
    spans = zip(starts, ends, tokens, strict=True)
    return np.array([emission[a:b, token].max() if b > a else -np.inf for a, b, token in spans])


def _viterbi(emission: np.ndarray, tokens: np.ndarray, slack: Slack, most_cells: int) -> Path:
    frames, labels, states = len(emission), len(tokens), 2 * len(tokens) + 1
    size = min(frames, max(1, most_cells // states))
    firsts = range(0, frames, size)
    scores = Scores(np.full(states, -np.inf), np.full(labels + 1, -np.inf))
    scores.state[0] = 0.0
    kept, none = [scores.copy()], Steps(np.zeros((0, states), np.uint8), np.zeros((0, labels + 1), np.uint8))
    for first in firsts[:-1]:
        _advance(scores, first, first + size, emission, tokens, slack, none)
        kept.append(scores.copy())
    path = Path(np.zeros(labels, np.int64), np.zeros(labels, np.int64), np.zeros(frames, np.bool_))
    steps = Steps(np.zeros((size, states), np.uint8), np.zeros((size, labels + 1), np.uint8))
    state, is_extra = -1, False
    for first, scores in zip(reversed(firsts), reversed(kept), strict=True):
        end = min(frames, first + size)
        _advance(scores, first, end, emission, tokens, slack, steps)
        if state < 0:
            state = states - 1 if scores.state[-1] >= scores.state[-2] else states - 2
        state, is_extra = _trace_back(steps, first, end, state, is_extra, slack.following, path)
    return path


@uncounted
def _trace_back(steps, first, end, s, is_extra, following, path):
    """Follow the steps from a state at frame `end` to frame `first`, noting the frames of tokens and of extra speech;
    returns the state, and whether it is one of extra speech."""
    for t in range(end - 1, first - 1, -1):
        if not is_extra:
            step = np.int64(steps.state[t - first, s])
            while step == SKIP:
                s = 2 * _word_before(following, s >> 1)
                step = np.int64(steps.state[t - first, s])
            is_extra = step == CLOSE
        if is_extra:
            path.is_extra[t] = True
            step = np.int64(steps.extra[t - first, s >> 1])
            is_extra = step == STAY
            s -= step == OPEN_AFTER_TOKEN
            continue
        if s & 1:
            path.starts[s >> 1] = t
            if path.ends[s >> 1] == 0:
                path.ends[s >> 1] = t + 1
        s -= step
    return s, is_extra


@kernel
def _word_before(following, token):
    """The first token of the word before the one that begins with `token`."""
    place = token - 1
    while following[place] != token:
        place -= 1
    return place


@uncounted
def _advance(scores, first, end, emission, tokens, slack, steps):
    """Replace the scores before frame `first` by those after frames `first` to `end`.

    A step says how far back the state before it was: 0, 1 or 2; or `SKIP`, the blank before the word that is left out
    here, or `CLOSE`, the extra speech that ends here, both in the same frame. Before the first frame there is only a
    state 0, whose score is 0.
    """
    score, extra, skips = scores.state, scores.extra, slack.skips
    states, may_open, keep = len(score), slack.opening < np.inf, len(steps.state) > 0
    for t in range(first, end):
        for s in range(states - 1, -1, -1):
            between = s % 2 == 0 and (s == states - 1 or skips[s >> 1] > 0)
            if between and may_open:
                place = s >> 1
                best, step = extra[place], STAY
                if score[s] - slack.opening > best:
                    best, step = score[s] - slack.opening, OPEN_AFTER_BLANK
                if s and score[s - 1] - slack.opening > best:
                    best, step = score[s - 1] - slack.opening, OPEN_AFTER_TOKEN
                extra[place] = best + slack.extra[t]
                if keep:
                    steps.extra[t - first, place] = step
            token = tokens[s >> 1] if s & 1 else BLANK
            best, step = score[s], 0
            if s >= 1 and score[s - 1] > best:
                best, step = score[s - 1], 1
            if s & 1 and s >= 3 and token != tokens[(s >> 1) - 1] and score[s - 2] > best:
                best, step = score[s - 2], 2
            score[s] = best + (slack.silence[t] if between else emission[t, token])
            if keep:
                steps.state[t - first, s] = step
        for place in range(len(tokens) + 1):
            s = 2 * place
            if may_open and extra[place] > score[s]:
                score[s] = extra[place]
                if keep:
                    steps.state[t - first, s] = CLOSE
            if place < len(tokens) and skips[place] > 0:
                after = 2 * slack.following[place]
                if score[s] - skips[place] > score[after]:
                    score[after] = score[s] - skips[place]
                    if keep:
                        steps.state[t - first, after] = SKIP
