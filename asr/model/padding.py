"""Batching by length: utterances padded to a common shape."""

import math
from collections.abc import Sequence
from typing import overload

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


class Plan(Sequence[list[int]]):
    """Batches of positions, held in arrays: a list of lists takes ten times the memory."""

    def __init__(self, order: np.ndarray, starts: np.ndarray, ends: np.ndarray):
        self._order, self._starts, self._ends = order, starts, ends  # positions, and the part of them of each batch

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> "Plan": ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return Plan(self._order, self._starts[index], self._ends[index])
        return self._order[self._starts[index] : self._ends[index]].tolist()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and list(self) == list(other)

    @classmethod
    def joined(cls, plans: Sequence["Plan"]) -> "Plan":
        """The batches of several plans, one plan after the other."""
        offsets = np.cumsum([0, *(len(plan._order) for plan in plans[:-1])])
        starts, ends = (
            np.concatenate([getattr(plan, name) + offset for plan, offset in zip(plans, offsets, strict=True)])
            for name in ("_starts", "_ends")
        )
        return cls(np.concatenate([plan._order for plan in plans]), starts, ends)

    def of(self, positions: np.ndarray) -> "Plan":
        """The batches of a longer list's items, of which this plan has those at `positions` `(items,)`."""
        return Plan(positions[self._order].astype(np.int32), self._starts, self._ends)

    @property
    def sizes(self) -> np.ndarray:
        """Positions in each batch, `(batches,)`."""
        return self._ends - self._starts

    @property
    def firsts(self) -> np.ndarray:
        """The first position of each batch, `(batches,)`."""
        return self._order[self._starts]

    def reordered(self, batches: Sequence[int]) -> "Plan":
        """The batches with these numbers."""
        numbers = np.asarray(batches, np.int64)
        return Plan(self._order, self._starts[numbers], self._ends[numbers])


def plan_in_order(durations: Sequence[float] | np.ndarray, batch_seconds: float) -> Plan:
    """Group the positions of `durations` `(utterances,)` in seconds, longest first, into batches of at most
    `batch_seconds`, padding included.

    A longer utterance is a batch of its own.
    """
    seconds = np.asarray(durations, np.float64)
    order = np.argsort(-seconds, kind="stable").astype(np.int32)
    starts, start = [], 0
    while start < len(order):
        starts.append(start)
        longest = _padded(float(seconds[order[start]]))
        size = int(batch_seconds / longest) + 1
        while size > 1 and size * longest > batch_seconds:
            size -= 1
        start += size
    bounds = np.array([*starts, len(order)])
    return Plan(order, bounds[:-1], bounds[1:])


def _padded(seconds: float) -> float:
    # One frame more than the samples fill: frames are centred, so the last one is centred on the end of the sound.
    return _on_grid(seconds + 0.01)


def _on_grid(seconds: float) -> float:
    grid = GRID_SECONDS * 2 ** max(0, math.floor(math.log2(max(seconds, 1e-3) / (GRIDS * GRID_SECONDS))) + 1)
    return math.ceil(seconds / grid - 1e-6) * grid
