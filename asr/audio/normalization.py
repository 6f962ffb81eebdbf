"""Log-mel energies -> features of zero mean and unit variance, whatever silence is around the speech."""

from typing import Literal

import numpy as np

from asr.audio.average_speech import NATS, AverageSpeech

# All relative to the recording's level, in decibels below it.
FLOOR_DECIBELS = 80.0  # added to each band: a quiet room
SILENCE_DECIBELS = 55.0  # frames below it have no sound
SPEECH_DECIBELS = 30.0  # frames above it may be speech

CONTEXT_SECONDS = 0.5  # of the pauses around speech count with it


def normalize_bands(
    log_energies: np.ndarray,
    kind: Literal["utterance", "running", "none"],
    hop_seconds: float,
    average: AverageSpeech | None = None,
) -> np.ndarray:
    """Zero mean and unit variance of each band of `(frames, mels)` natural-log energies, float32, over the frames that
    carry sound: silence before, behind and between speech changes nothing, however long and deep it is.

    1. A frame's level is its total energy; the recording's level is the mean of its frames' levels in decibels,
       weighted by energy.
    2. Each band gets a floor `FLOOR_DECIBELS` below the recording's level, added as noise would be: digital silence
       becomes a quiet room.
    3. Mean and variance are those of the frames within `CONTEXT_SECONDS` of speech, that is of a frame at most
       `SPEECH_DECIBELS` below the recording's level. Frames more than `SILENCE_DECIBELS` below it have no sound; they
       count only in short pauses, with speech that near on both sides (a noise gate's work). With `average`, so do
       the frames of average speech.

    'utterance' takes all frames; 'running' does the same with the frames so far, so that a frame's value never depends
    on what comes after it; 'none' changes nothing.
    """
    if kind == "none":
        return log_energies
    energies = np.exp(log_energies, dtype=np.float64)
    weights = energies.sum(axis=1)
    levels = np.log(weights)
    context = round(CONTEXT_SECONDS / hop_seconds)
    if kind == "utterance":
        level = weights @ levels / weights.sum()
        bands = _log_with_floor(energies, level)
        counted = bands[_entry_frames(levels, level, context) < len(levels)]
        mean, deviation, counts = counted.mean(axis=0), counted.std(axis=0), len(counted)
    else:
        level = (np.cumsum(weights * levels) / np.cumsum(weights))[:, None]
        bands = _log_with_floor(energies, level)
        mean, deviation, counts = _running_statistics(bands, levels, level[:, 0], context)
    if average:
        mean, deviation = average.with_own(mean, deviation, counts, level)
    # The constant keeps silence, whose deviation is 0, from becoming loud noise.
    return ((bands - mean) / (deviation + 0.1)).astype(np.float32)


def _log_with_floor(energies: np.ndarray, level: np.ndarray | float) -> np.ndarray:
    return np.log(energies + np.exp(level - FLOOR_DECIBELS * NATS))


def _entry_frames(levels: np.ndarray, level: float, context: int) -> np.ndarray:
    """The frame from which on each frame counts in the statistics of a recording of that level, `(frames,)`: its own
    number, that of the speech frame after it if that is why it counts, or `len(levels)` if it never does."""
    never = len(levels)
    frames = np.arange(never)
    speech = levels >= level - SPEECH_DECIBELS * NATS
    last = np.maximum.accumulate(np.where(speech, frames, -never))
    following = np.minimum.accumulate(np.where(speech, frames, 2 * never)[::-1])[::-1]
    after, before = frames - last <= context, following - frames <= context
    silent = levels < level - SILENCE_DECIBELS * NATS
    return np.select([silent & ~(after & before), silent | ~after & before, after], [never, following, frames], never)


def _running_statistics(
    bands: np.ndarray, levels: np.ndarray, level: np.ndarray, context: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and deviation of each band over the counted frames so far, at each frame, `(frames, mels)` both, and the
    number of these frames, `(frames, 1)`.

    Which frames count depends on the recording's level so far: they are found once for each whole decibel of it.
    """
    mean, deviation, numbers = np.empty_like(bands), np.empty_like(bands), np.empty((len(bands), 1))
    steps = np.floor(level / NATS)
    for step in np.unique(steps):
        entry = _entry_frames(levels, step * NATS, context)
        order = np.argsort(entry, kind="stable")
        at_step = np.flatnonzero(steps == step)
        counts = np.searchsorted(entry[order], at_step, side="right")
        numbers[at_step, 0] = counts
        counted = bands[order[: counts[-1]]]  # in the order in which they enter
        first, second = (np.cumsum(values, axis=0)[counts - 1] / counts[:, None] for values in (counted, counted**2))
        mean[at_step] = first
        deviation[at_step] = np.sqrt(np.maximum(second - first**2, 0))
    return mean, deviation, numbers
