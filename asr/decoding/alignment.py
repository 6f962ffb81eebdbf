"""Where tokens are in a recording: the likeliest CTC alignment of a known token sequence (Graves et al. 2006)."""

from dataclasses import dataclass

import numpy as np

from asr.decoding.arrays import frozen
from asr.decoding.greedy import Tokens
from asr.text.tokenizer import BLANK
from asr.utils.numba_cache import kernel, uncounted

MOST_CELLS = 1 << 26  # of the table of steps that is kept at once: 64 MB
STAY, SKIP, CLOSE = 0, 3, 4  # steps of a state; 1 and 2 are the states before it
OPEN_AFTER_BLANK, OPEN_AFTER_TOKEN = 1, 2  # steps of extra speech


@dataclass(frozen=True)
class Slack:
    """What an alignment may leave out, where text and speech differ."""

    silence: np.ndarray  # (frames,) log-probability of a frame between words without speech
    extra: np.ndarray  # (frames,) log-probability of a frame of speech that the tokens lack
    opening: float  # nats for each stretch of such speech
    skips: np.ndarray  # (labels,) nats for leaving out the word that begins with this token; 0 within a word
    following: np.ndarray  # (labels,) for the first token of a word, the first one of the next word


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
    starts, ends, extra = _viterbi(
        emission, tokens, slack.silence, slack.extra, slack.opening, slack.skips, slack.following, MOST_CELLS
    )
    peaks = np.array(
        [emission[a:b, token].max() if b > a else -np.inf for a, b, token in zip(starts, ends, tokens, strict=True)]
    )
    return Tokens(tokens, starts, ends, peaks), extra


def _viterbi(emission, tokens, silence, extra, opening, skips, following, most_cells):
    """First frame and frame after the last of each token, `(labels,)` each, on the likeliest path, and which frames
    are extra speech, `(frames,)`."""
    frames, states = len(emission), 2 * len(tokens) + 1
    size = min(frames, max(1, most_cells // states))
    firsts = range(0, frames, size)
    arguments = emission, tokens, silence, extra, opening, skips, following
    score, open_score = np.full(states, -np.inf), np.full(len(tokens) + 1, -np.inf)
    score[0] = 0.0
    kept, nothing = [(score.copy(), open_score.copy())], np.zeros((0, states), np.uint8)
    for first in firsts[:-1]:
        _advance(score, open_score, first, first + size, *arguments, nothing, nothing)
        kept.append((score.copy(), open_score.copy()))
    starts, ends = np.zeros(len(tokens), np.int64), np.zeros(len(tokens), np.int64)
    is_extra = np.zeros(frames, np.bool_)
    back, open_back = np.zeros((size, states), np.uint8), np.zeros((size, len(tokens) + 1), np.uint8)
    state, is_open = -1, False
    for first, (score, open_score) in zip(reversed(firsts), reversed(kept), strict=True):
        end = min(frames, first + size)
        _advance(score, open_score, first, end, *arguments, back, open_back)
        if state < 0:
            state = states - 1 if score[-1] >= score[-2] else states - 2
        state, is_open = _trace_back(back, open_back, first, end, state, is_open, following, starts, ends, is_extra)
    return starts, ends, is_extra


@uncounted
def _trace_back(back, open_back, first, end, s, is_open, following, starts, ends, is_extra):
    """Follow the steps from a state at frame `end` to frame `first`, noting the frames of tokens and of extra speech;
    returns the state, and whether it is one of extra speech."""
    for t in range(end - 1, first - 1, -1):
        if not is_open:
            step = np.int64(back[t - first, s])
            while step == SKIP:
                s = 2 * _word_before(following, s >> 1)
                step = np.int64(back[t - first, s])
            is_open = step == CLOSE
        if is_open:
            is_extra[t] = True
            step = np.int64(open_back[t - first, s >> 1])
            is_open = step == STAY
            s -= step == OPEN_AFTER_TOKEN
            continue
        if s & 1:
            starts[s >> 1] = t
            if ends[s >> 1] == 0:
                ends[s >> 1] = t + 1
        s -= step
    return s, is_open


@kernel
def _word_before(following, token):
    """The first token of the word before the one that begins with `token`."""
    place = token - 1
    while following[place] != token:
        place -= 1
    return place


@uncounted
def _advance(
    score, open_score, first, end, emission, tokens, silence, extra, opening, skips, following, back, open_back
):
    """The best score of each state after frames `first` to `end`, in place of those before; steps go to `back`.

    States alternate: blank, first token, blank, second token, ... A step says how far back the state before it was:
    0, 1 or 2; or `SKIP`, the blank before the word that is left out here, or `CLOSE`, the extra speech that ends here,
    both in the same frame. Each blank between words has a state of extra speech beside it: `open_score`. Before the
    first frame there is only a state 0, whose score is 0.
    """
    states, may_open = len(score), opening < np.inf
    for t in range(first, end):
        for s in range(states - 1, -1, -1):
            between = s % 2 == 0 and (s == states - 1 or skips[s >> 1] > 0)
            if between and may_open:
                place = s >> 1
                best, step = open_score[place], STAY
                if score[s] - opening > best:
                    best, step = score[s] - opening, OPEN_AFTER_BLANK
                if s and score[s - 1] - opening > best:
                    best, step = score[s - 1] - opening, OPEN_AFTER_TOKEN
                open_score[place] = best + extra[t]
                if len(back):
                    open_back[t - first, place] = step
            token = tokens[s >> 1] if s & 1 else BLANK
            best, step = score[s], 0
            if s >= 1 and score[s - 1] > best:
                best, step = score[s - 1], 1
            if s & 1 and s >= 3 and token != tokens[(s >> 1) - 1] and score[s - 2] > best:
                best, step = score[s - 2], 2
            score[s] = best + (silence[t] if between else emission[t, token])
            if len(back):
                back[t - first, s] = step
        for place in range(len(tokens) + 1):
            s = 2 * place
            if may_open and open_score[place] > score[s]:
                score[s] = open_score[place]
                if len(back):
                    back[t - first, s] = CLOSE
            if place < len(tokens) and skips[place] > 0:
                after = 2 * following[place]
                if score[s] - skips[place] > score[after]:
                    score[after] = score[s] - skips[place]
                    if len(back):
                        back[t - first, after] = SKIP
