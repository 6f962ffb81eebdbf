"""SpecAugment (Park et al. 2019) and vocal tract length perturbation (Jaitly & Hinton 2013) of features."""

import numpy as np

from asr.audio.config import AugmentConfig


def augment_features(
    features: np.ndarray, config: AugmentConfig, hop_seconds: float, random: np.random.Generator
) -> np.ndarray:
    """A changed copy of normalised `features` `(frames, mels)`: the mel axis stretched, then masks set to 0, the mean.

    All randomness comes from `random`, seeded by (seed, epoch, utterance), so that a resumed run repeats it.
    """
    stretch = 1 + random.uniform(-config.frequency_stretch, config.frequency_stretch)
    return mask(stretch_frequency(features, stretch), config, hop_seconds, random)


def stretch_frequency(features: np.ndarray, stretch: float) -> np.ndarray:
    """A copy of `(frames, mels)` with the content of band k moved to band k * stretch, by linear interpolation; the
    highest band is repeated beyond the end."""
    mels = features.shape[1]
    source = np.minimum(np.arange(mels) / stretch, mels - 1)
    below = source.astype(np.intp)
    above = np.minimum(below + 1, mels - 1)
    share = (source - below).astype(features.dtype)
    return features[:, below] * (1 - share) + features[:, above] * share


def mask(features: np.ndarray, config: AugmentConfig, hop_seconds: float, random: np.random.Generator) -> np.ndarray:
    """Set random spans of time and bands of frequency of `(frames, mels)` to 0, in place."""
    frames, mels = features.shape
    longest = min(round(config.time_mask_seconds / hop_seconds), int(config.time_mask_share * frames))
    for _ in range(config.time_masks):
        width = random.integers(0, longest, endpoint=True)
        start = random.integers(0, frames - width, endpoint=True)
        features[start : start + width] = 0
    for _ in range(config.frequency_masks):
        width = random.integers(0, min(config.frequency_mask_mels, mels), endpoint=True)
        start = random.integers(0, mels - width, endpoint=True)
        features[:, start : start + width] = 0
    return features
