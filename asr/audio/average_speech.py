"""The bands of average speech, which steady the statistics of recordings of a word or two.

The mean of 0.4 s is mostly the vowel of the word that was said: to subtract it is to remove what is to be recognised.
"""

from dataclasses import dataclass

import numpy as np

# By frequency in hertz: mean and deviation of the log energy per hertz, in decibels relative to the recording's level,
# over the frames that `asr.audio.normalization` counts. Of 200 recordings of LibriSpeech's training speakers; the shape
# is that of the long-term average of many languages (Byrne et al. 1994).
HERTZ = (63, 125, 250, 500, 1000, 1500, 2000, 3000, 4000, 6000, 8000)
MEANS = (-54.5, -50.7, -53.4, -55.3, -65.9, -66.4, -68.2, -70.4, -73.1, -80.4, -90.0)
DEVIATIONS = (12.0, 15.8, 18.1, 18.8, 15.7, 15.8, 15.2, 15.4, 14.9, 14.0, 11.3)

EMPTY_DECIBELS = 70.0  # bands so far below the recording's level have been filtered out and keep their own statistics

NATS = np.log(10) / 10  # per decibel


@dataclass(frozen=True)
class AverageSpeech:
    """Mean, relative to the recording's level, and deviation of each band, `(mels,)` both in nats, and the number of
    frames that they count for."""

    means: np.ndarray
    deviations: np.ndarray
    frames: float

    @classmethod
    def of_bands(cls, filters: np.ndarray, hertz_per_bin: float, frames: float) -> "AverageSpeech":
        """Average speech in the bands of mel filters `(bins, mels)`."""
        hertz = hertz_per_bin * np.arange(len(filters))
        areas = np.maximum(filters.sum(axis=0), 1e-6)  # a filter may fall between two bins
        octaves = np.log2(np.maximum(hertz @ filters / areas, 1.0))
        means, deviations = (np.interp(octaves, np.log2(HERTZ), values) for values in (MEANS, DEVIATIONS))
        return cls(means * NATS + np.log(areas * hertz_per_bin), deviations * NATS, frames)

    def with_own(
        self, mean: np.ndarray, deviation: np.ndarray, counts: np.ndarray | int, level: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of the bands, `(mels,)` or `(frames, mels)`, of a recording of this level and number of
        frames, together with those of average speech. `counts` and `level` are numbers or `(frames, 1)`."""
        own = np.where(mean < level - EMPTY_DECIBELS * NATS, 1.0, counts / (counts + self.frames))
        variance = own * deviation**2 + (1 - own) * self.deviations**2
        return own * mean + (1 - own) * (level + self.means), np.sqrt(variance)
