"""Overlapping windows of long recordings: memory stays bounded, and a bidirectional network gets context on both sides.

Only the output for the middle of a window, its core, is kept. Cores are adjacent, so that their log-probabilities can
be joined before decoding.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

# Seconds. A recording no longer than a core is one window. Training utterances are rarely longer.
SHORTEST_CORE = 15.0
LONGEST_CORE = 30.0
CONTEXT = 3.0  # on both sides of a core
LONGEST_SEGMENT = 300.0  # of speech without a pause that is decoded together

SILENCE_SECONDS = 0.3  # duration of the silence at which a cut is preferred
SILENCE_DECIBELS = 20.0  # below its surroundings: quiet enough for the end of a sentence


@dataclass(frozen=True)
class Window:
    """A part of a recording with context on both sides."""

    samples: np.ndarray  # (samples,), context included, of mean 0
    skip: int  # output frames before the core
    frames: int | None  # output frames of the core; None: to the end
    ends_segment: bool  # whether the core ends in silence or with the recording, so that no word crosses its end, or
    # nothing has for LONGEST_SEGMENT

    def core(self, emission: np.ndarray) -> np.ndarray:
        """The rows of the window's log-probabilities `(frames, tokens)` that belong to the core."""
        return emission[self.skip :][: self.frames]


def cut_windows(pieces: Iterable[np.ndarray], sample_rate: int, frame_samples: int) -> Iterator[Window]:
    """The windows of a recording that arrives in pieces `(samples,)`, at least one, which may be empty.

    `frame_samples` is the number of samples per output frame.
    """
    shortest, longest, context = (
        round(seconds * sample_rate / frame_samples) * frame_samples
        for seconds in (SHORTEST_CORE, LONGEST_CORE, CONTEXT)
    )
    held = np.zeros(0, np.float32)
    skip = 0  # samples in `held` before the next core
    segment = 0  # samples since a segment ended
    for piece in pieces:
        held = np.concatenate([held, piece])
        while len(held) >= skip + longest + context:
            offset, pause = find_pause(held[skip + shortest : skip + longest], sample_rate, frame_samples)
            core = shortest + offset
            segment += core
            ends_segment = pause or segment > LONGEST_SEGMENT * sample_rate
            yield _window(held[: skip + core + context], skip, core, ends_segment, frame_samples)
            segment = 0 if ends_segment else segment
            held = held[max(0, skip + core - context) :]
            skip = min(skip + core, context)
    # The rest, which may exceed a core by almost the context, is one window.
    yield _window(held, skip, None, True, frame_samples)


def find_pause(samples: np.ndarray, sample_rate: int, step: int) -> tuple[int, bool]:
    """The middle of the quietest span of `(samples,)`, a multiple of `step`, and whether that span is silent."""
    count = len(samples) // step
    energies = np.square(samples[: count * step], dtype=np.float64).reshape(count, step).mean(axis=1)
    width = max(1, round(SILENCE_SECONDS * sample_rate / step))
    totals = np.concatenate([[0.0], np.cumsum(energies)])
    stretches = np.maximum((totals[width:] - totals[:-width]) / width, 0.0)
    quietest = int(stretches.argmin())
    loud = np.percentile(energies, 90)
    pause = bool(stretches[quietest] <= loud * 10 ** (-SILENCE_DECIBELS / 10))
    return (quietest + width // 2) * step, pause


def _window(samples: np.ndarray, skip: int, core: int | None, ends_segment: bool, frame_samples: int) -> Window:
    mean = samples.mean(dtype=np.float64).astype(np.float32) if len(samples) else np.float32(0)
    frames = None if core is None else core // frame_samples
    return Window(samples - mean, skip // frame_samples, frames, ends_segment)
