"""Word boundaries in the sound, given roughly where each word is.

CTC does not bind a token to its sound: a network outputs a word's tokens in a few frames near it. The boundary of two
consecutive words lies between their middles: at the longest pause if there is one, else where the sound is weakest. A
pause is silence, or sound that the network takes for no speech, such as a breath.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

STEP = 0.01  # seconds
LEAST_PAUSE = 3  # steps; shorter ones are closures of p, t, k as well
SURROUNDINGS = 200  # steps on both sides, by which it is judged what is quiet
QUIET = 0.2  # of the way from the faintest to the loudest sound there, in decibels
SPEECHLESS = 0.05  # probability of all tokens but blank and space; a breath has less, any sound of speech more

Span = tuple[float, float]  # seconds


def energies(pieces: Iterable[np.ndarray], sample_rate: int) -> np.ndarray:
    """Decibels of each `STEP` of a recording that comes in pieces `(samples,)`: `(steps,)`."""
    step, found, rest = round(STEP * sample_rate), [], np.zeros(0, np.float32)
    for piece in pieces:
        rest = np.concatenate([rest, piece])
        steps = rest[: len(rest) // step * step].reshape(-1, step).astype(np.float64)
        found.append(10 * np.log10(steps.var(axis=1) + 1e-12))  # without the mean, which need not be 0
        rest = rest[steps.size :]
    return np.concatenate(found) if found else np.zeros(0)


def speechless_steps(speech: np.ndarray, frame_seconds: float, steps: int) -> np.ndarray:
    """Which steps the network takes for no speech, from each output frame's probability of `speech` `(frames,)`:
    `(steps,)`."""
    frames = (np.arange(steps) * STEP / frame_seconds).astype(int)
    return speech[frames.clip(0, len(speech) - 1)] < SPEECHLESS if len(speech) else np.zeros(steps, bool)


def find_boundaries(spans: Sequence[Span], decibels: np.ndarray, speechless: np.ndarray) -> list[Span]:
    """Start and end of each word in seconds, from rough ones: `spans` in order and without overlap.

    `decibels` are the recording's `energies`, `speechless` `(steps,)` marks sound other than speech. The words found
    have a length and do not overlap.
    """
    end = len(decibels) * STEP
    middles = [(start + stop) / 2 for start, stop in spans]
    edges = [0.0, *(stop for _, stop in spans)], [*(start for start, _ in spans), end]
    pauses = [
        _boundary(decibels, speechless, low, high, stop, start)
        for low, high, stop, start in zip([0.0, *middles], [*middles, end], *edges, strict=True)
    ]
    return [(float(before[1]), float(after[0])) for before, after in pairwise(pauses)]


def quiet(decibels: np.ndarray) -> np.ndarray:
    """Which steps are silence, judged by all that are given: `(steps,)`."""
    faint, loud = np.percentile(decibels, [5, 95])
    return decibels < faint + QUIET * (loud - faint)


def _boundary(decibels: np.ndarray, speechless: np.ndarray, low: float, high: float, stop: float, start: float) -> Span:
    """End of the sound before and start of the sound after a boundary, which lies between `low` and `high`."""
    first, last = round(low / STEP), round(high / STEP)
    part = decibels[first:last]
    if not len(part):
        return (low + high) / 2, (low + high) / 2
    begin = max(0, first - SURROUNDINGS)
    pause = quiet(decibels[begin : last + SURROUNDINGS])[first - begin :][: len(part)] | speechless[first:last]
    changes = np.flatnonzero(np.diff(np.concatenate([[0], pause, [0]])))
    begins, ends = changes[::2], changes[1::2]
    if len(begins) and (ends - begins).max() >= LEAST_PAUSE:
        longest = (ends - begins).argmax()
        # A word's middle belongs to it, however faint.
        return low + STEP * max(1, begins[longest]), high - STEP * max(1, len(part) - ends[longest])
    nearest = slice(max(first, round(min(stop, start) / STEP)), max(first, round(max(stop, start) / STEP)) + 1)
    place = (nearest.start + _smooth(decibels[nearest]).argmin()) * STEP if len(decibels[nearest]) else low
    margin = (high - low) / 4
    place = min(max(place, low + margin), high - margin)
    return place, place


def _smooth(decibels: np.ndarray) -> np.ndarray:
    padded = np.concatenate([decibels[:1], decibels, decibels[-1:]])
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3
