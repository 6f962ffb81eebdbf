"""Utterances of similar length padded to a common shape."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# Seconds. Batches are padded to multiples of this, long ones to larger ones, so that few shapes occur: oneDNN compiles
# its kernels for each shape and keeps them, which costs time in short utterances and memory in long ones.
GRID_SECONDS = 0.08
GRIDS = 100  # in the shortest utterance that is padded to multiples of twice as much


def pad(features: Sequence[np.ndarray], hop_seconds: float) -> tuple[Tensor, Tensor]:
    """`(frames, mels)` of several utterances -> `(batch, frames, mels)` with zeros behind, and `(batch,)` lengths."""
    lengths = [len(frames) for frames in features]
    frames = round(_on_grid(max(lengths) * hop_seconds) / hop_seconds)
    padded = np.zeros((len(features), max(frames, max(lengths)), features[0].shape[1]), np.float32)
    for row, utterance in zip(padded, features, strict=True):
        row[: len(utterance)] = utterance
    return torch.from_numpy(padded), torch.tensor(lengths)


def plan_in_order(durations: Sequence[float], batch_seconds: float) -> list[list[int]]:
    """Positions grouped by duration, longest first, so that no batch exceeds `batch_seconds`, padding included.

    An utterance longer than that is a batch of its own.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(durations)), key=lambda index: -durations[index]):
        if batches and (len(batches[-1]) + 1) * _padded(durations[batches[-1][0]]) <= batch_seconds:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _padded(seconds: float) -> float:
    # One frame more than the samples fill: frames are centred, so the last one begins where the sound ends.
    return _on_grid(seconds + 0.01)


def _on_grid(seconds: float) -> float:
    grid = GRID_SECONDS * 2 ** max(0, math.floor(math.log2(max(seconds, 1e-3) / (GRIDS * GRID_SECONDS))) + 1)
    return math.ceil(seconds / grid - 1e-6) * grid
