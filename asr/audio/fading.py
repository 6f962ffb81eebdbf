"""Soft ends of recordings."""

import numpy as np

FADE_SECONDS = 0.005


def fade_ends(sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """`(samples,)` with its first and last `FADE_SECONDS` faded in and out: an abrupt end is a click, which has all
    frequencies, like a consonant."""
    length = min(round(FADE_SECONDS * sample_rate), len(sound) // 2)
    rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(1, length))).astype(sound.dtype)
    return np.concatenate(
        [rise * sound[:length], sound[length : len(sound) - length], sound[len(sound) - length :] * rise[::-1]]
    )
