"""Random changes to features that training learns from."""

import numpy as np

from asr.audio.config import AugmentConfig


def augment_features(
    features: np.ndarray, config: AugmentConfig, hop_seconds: float, random: np.random.Generator
) -> np.ndarray:
    """A changed copy of `features` `(frames, mels)`: the mel axis stretched, then masks set to 0, which is the mean.

    Every draw comes from `random`, so that an utterance's changes follow from (seed, epoch, utterance) and a resumed
    run makes the same ones.
    """
    stretch = 1 + random.uniform(-config.frequency_stretch, config.frequency_stretch)
    return mask(stretch_frequency(features, stretch), config, hop_seconds, random)


def stretch_frequency(features: np.ndarray, stretch: float) -> np.ndarray:
    """A copy of `(frames, mels)` with what was heard in band k now in band k * stretch, by linear interpolation; the
    highest band is repeated where there was none."""
    mels = features.shape[1]
    source = np.minimum(np.arange(mels) / stretch, mels - 1)
    below = source.astype(np.intp)
    above = np.minimum(below + 1, mels - 1)
    share = (source - below).astype(features.dtype)
    return features[:, below] * (1 - share) + features[:, above] * share


def mask(features: np.ndarray, config: AugmentConfig, hop_seconds: float, random: np.random.Generator) -> np.ndarray:
    """`(frames, mels)` with random stretches of time and bands of frequency set to 0, in place."""
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
