"""Long recordings in overlapping windows, so that memory does not grow with length and a network that looks both ways
still hears what is around each word.

The network's output is kept only for the middle of a window, its core; cores follow one another without a gap, so that
their log-probabilities can be joined before anything is decoded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

# Seconds. What is no longer than a core is one window, as it is. Training utterances are seldom longer.
SHORTEST_CORE = 15.0
LONGEST_CORE = 30.0
CONTEXT = 3.0  # on both sides of a core

SILENCE_SECONDS = 0.3  # what a cut is looked for in
SILENCE_DECIBELS = 20.0  # below the level of what surrounds it: quiet enough to end a sentence


@dataclass(frozen=True)
class Window:
    """A part of a recording with the sound around it."""

    samples: np.ndarray  # (samples,), context included, of mean 0
    skip: int  # output frames before the core
    frames: int | None  # output frames of the core; None: all that follow
    pause: bool  # whether the core ends in a silence, or with the recording: no word goes on behind it

    def core(self, emission: np.ndarray) -> np.ndarray:
        """The core's part of the window's log-probabilities `(frames, tokens)`."""
        return emission[self.skip :][: self.frames]


def cut_windows(pieces: Iterable[np.ndarray], sample_rate: int, frame_samples: int) -> Iterator[Window]:
    """The windows of a recording that comes in pieces `(samples,)`. `frame_samples` are those of an output frame.

    There is always one, if only of no samples.
    """
    shortest, longest, context = (
        round(seconds * sample_rate / frame_samples) * frame_samples
        for seconds in (SHORTEST_CORE, LONGEST_CORE, CONTEXT)
    )
    held = np.zeros(0, np.float32)
    skip = 0  # samples held that come before the next core
    for piece in pieces:
        held = np.concatenate([held, piece])
        while len(held) >= skip + longest + context:
            offset, pause = find_pause(held[skip + shortest : skip + longest], sample_rate, frame_samples)
            core = shortest + offset
            yield _window(held[: skip + core + context], skip, core, pause, frame_samples)
            held = held[max(0, skip + core - context) :]
            skip = min(skip + core, context)
    # What is left may be longer than a core by nearly the context; it is heard to its end all the same.
    yield _window(held, skip, None, True, frame_samples)


def find_pause(samples: np.ndarray, sample_rate: int, step: int) -> tuple[int, bool]:
    """The middle of the quietest stretch of `(samples,)`, at a multiple of `step`, and whether it is a silence."""
    count = len(samples) // step
    energies = np.square(samples[: count * step], dtype=np.float64).reshape(count, step).mean(axis=1)
    width = max(1, round(SILENCE_SECONDS * sample_rate / step))
    totals = np.concatenate([[0.0], np.cumsum(energies)])
    stretches = np.maximum((totals[width:] - totals[:-width]) / width, 0.0)
    quietest = int(stretches.argmin())
    loud = np.percentile(energies, 90)
    pause = bool(stretches[quietest] <= loud * 10 ** (-SILENCE_DECIBELS / 10))
    return (quietest + width // 2) * step, pause


def _window(samples: np.ndarray, skip: int, core: int | None, pause: bool, frame_samples: int) -> Window:
    mean = samples.mean(dtype=np.float64).astype(np.float32) if len(samples) else np.float32(0)
    frames = None if core is None else core // frame_samples
    return Window(samples - mean, skip // frame_samples, frames, pause)
