"""Confidence intervals of error rates by the bootstrap."""

from collections.abc import Hashable, Sequence

import numpy as np

Interval = tuple[float, float]


def bootstrap(
    errors: Sequence[int],
    words: Sequence[int],
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    rounds: int = 1000,
) -> Interval | None:
    """95% percentile interval (low, high) of the WER by the bootstrap (Bisani & Ney 2004).

    Utterances, given by their `errors` and reference `words`, are drawn with replacement or, with `groups` (the speaker
    of each utterance), whole groups of them. The same seed gives the same interval. None with fewer than two groups,
    no reference words or no errors.
    """
    rates = draw_rates(errors, words, groups, seed, rounds)
    if rates is None:
        return None
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)


def draw_rates(
    errors: Sequence[int], words: Sequence[int], groups: Sequence[Hashable] | None, seed: int, rounds: int
) -> np.ndarray | None:
    """The WER in each round of `bootstrap`, `(rounds,)`, or None. Errors may be differences of errors."""
    index: dict[Hashable, int] = {}
    rows = [index.setdefault(group, len(index)) for group in (range(len(errors)) if groups is None else groups)]
    size = len(index)
    counts = np.zeros((size, 2))  # (groups, errors and words)
    np.add.at(counts, rows, np.column_stack([errors, words]))
    if size < 2 or not counts.any(axis=0).all():
        return None
    generator = np.random.default_rng(seed)
    block = max(1, 1_000_000 // size)  # all rounds at once would take gigabytes for a large corpus
    drawn = [
        counts[generator.integers(size, size=(min(block, rounds - start), size))].sum(axis=1)
        for start in range(0, rounds, block)
    ]
    totals = np.concatenate(drawn)  # (rounds, 2)
    totals = totals[totals[:, 1] > 0]
    return totals[:, 0] / totals[:, 1]
