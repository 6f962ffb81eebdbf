"""Batching by length: utterances padded to a common shape."""

import math
from collections.abc import Sequence

import numpy as np

# Batches are padded to multiples of this, in seconds, and long ones to larger multiples, so that few shapes occur:
# oneDNN compiles and caches a kernel per shape, which costs time for short utterances and memory for long ones.
GRID_SECONDS = 0.08
GRIDS = 100  # from this many grid steps on, the grid doubles


def pad(features: Sequence[np.ndarray], hop_seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """`(frames, mels)` of several utterances -> zero-padded `(batch, frames, mels)`, and `(batch,)` lengths."""
    lengths = [len(frames) for frames in features]
    frames = round(_on_grid(max(lengths) * hop_seconds) / hop_seconds)
    padded = np.zeros((len(features), max(frames, max(lengths)), features[0].shape[1]), np.float32)
    for row, utterance in zip(padded, features, strict=True):
        row[: len(utterance)] = utterance
    return padded, np.array(lengths)


def plan_in_order(durations: Sequence[float], batch_seconds: float) -> list[list[int]]:
    """Group positions by duration, longest first, into batches of at most `batch_seconds`, padding included.

    A longer utterance is a batch of its own.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(durations)), key=lambda index: -durations[index]):
        if batches and (len(batches[-1]) + 1) * _padded(durations[batches[-1][0]]) <= batch_seconds:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _padded(seconds: float) -> float:
    # One frame more than the samples fill: frames are centred, so the last one is centred on the end of the sound.
    return _on_grid(seconds + 0.01)


def _on_grid(seconds: float) -> float:
    grid = GRID_SECONDS * 2 ** max(0, math.floor(math.log2(max(seconds, 1e-3) / (GRIDS * GRID_SECONDS))) + 1)
    return math.ceil(seconds / grid - 1e-6) * grid
