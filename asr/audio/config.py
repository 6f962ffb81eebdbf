"""The features and augment sections of a recipe. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import NotNegative, NotNegativeReal, Positive, PositiveReal, Share, Size

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
FrameSeconds = Annotated[float, msgspec.Meta(ge=0.001, le=0.2)]  # two samples at the lowest sample rate, and more
Speed = Annotated[float, msgspec.Meta(ge=0.5, le=2)]


@dataclass(frozen=True)
class FeatureConfig:
    """Log-mel features: what the network hears."""

    #: Hertz. Other recordings are resampled to it. 8000 for telephone speech.
    sample_rate: Annotated[int, msgspec.Meta(ge=2000, le=192000)] = 16000
    #: Mel bands.
    mels: Size = 80
    #: Seconds of the analysis window: long enough for pitch, short enough for plosives.
    window_seconds: FrameSeconds = 0.025
    #: Seconds from one frame to the next.
    hop_seconds: FrameSeconds = 0.010
    #: Hertz. Lower edge of the lowest band; it leaves out hum and direct current.
    lowest_hertz: NotNegativeReal = 20.0
    #: How each band is brought to zero mean and unit variance: over the whole utterance, or over what has been
    #: heard so far (for input that is still arriving).
    normalization: Literal["utterance", "running", "none"] = "utterance"

    def __post_init__(self):
        if not self.lowest_hertz < self.sample_rate / 2:
            raise ValueError(f"lowest_hertz: must be below half of the sample rate, so not {self.lowest_hertz:g}")


@dataclass(frozen=True)
class AugmentConfig:
    """Changes to the training sound, so that other rooms, telephones and tempos are familiar, and to its features:
    masks, so that no single cue is relied on (SpecAugment, Park et al. 2019), and other voices (vocal tract length
    perturbation, Jaitly & Hinton 2013). `asr augment` lets a person hear and see what a recipe does."""

    #: Versions of each utterance, each with sound changes of its own, made once and kept in the feature cache; epochs
    #: take them by turns. More variety costs disk, not time.
    copies: Positive = 1
    #: Times the original's speed, pitch included; one is drawn for each copy. 0.9 1.0 1.1 is the usual choice (Ko et
    #: al. 2015). From 0.5 to 2.
    speeds: Annotated[tuple[Speed, ...], msgspec.Meta(min_length=1)] = (1.0,)
    #: Probability that a copy is heard in a room (simulated: the direct sound and a falling tail of noise).
    reverberation_share: Probability = 0.0
    #: Seconds, lowest and highest, in which the room's tail falls by 60 dB. 0.3 is a furnished room, 1 a bare hall.
    reverberation_seconds: tuple[PositiveReal, PositiveReal] = (0.2, 0.8)
    #: Decibels, lowest and highest, by which the direct sound is above the tail: 0 is across the room, 12 near the
    #: mouth.
    reverberation_decibels: tuple[float, float] = (0.0, 12.0)
    #: Probability that a copy has background noise.
    noise_share: Probability = 0.0
    #: Decibels, lowest and highest, by which speech is above the noise (the signal-to-noise ratio). Below 5 people
    #: have trouble too.
    noise_snr_decibels: tuple[float, float] = (5.0, 25.0)
    #: Folder of noise recordings, walked; short ones are repeated. Without it: generated noise, from white to brown.
    noise: Path | None = None
    #: Probability that a copy has lost its high frequencies, as from a cheap microphone or a low sample rate.
    band_limit_share: Probability = 0.0
    #: Hertz, lowest and highest, above which nothing is left.
    band_limit_hertz: tuple[PositiveReal, PositiveReal] = (3000.0, 7000.0)
    #: Probability that a copy comes over the telephone: 300 to 3400 Hz at 8000 Hz, through a codec (G.711 mu-law or
    #: A-law, or GSM 6.10).
    telephone_share: Probability = 0.0
    #: Decibels. The level of each copy is changed by up to this, either way. Peaks stay within full scale.
    gain_decibels: NotNegativeReal = 0.0
    #: Largest stretch or squeeze of the mel axis, as a share of it: each utterance sounds like a smaller or larger
    #: speaker. It helps with voices that were never heard.
    frequency_stretch: Share = 0.1
    #: Masks along time for each utterance.
    time_masks: NotNegative = 2
    #: Seconds. The longest time mask.
    time_mask_seconds: NotNegativeReal = 0.4
    #: Longest time mask as a share of the utterance, so that short utterances keep their words.
    time_mask_share: Share = 0.1
    #: Masks along frequency for each utterance.
    frequency_masks: NotNegative = 2
    #: Mel bands. The widest frequency mask.
    frequency_mask_mels: NotNegative = 20

    def __post_init__(self):
        for name in ("reverberation_seconds", "reverberation_decibels", "noise_snr_decibels", "band_limit_hertz"):
            lowest, highest = getattr(self, name)
            if lowest > highest:
                raise ValueError(f"{name}: the lowest comes first, so not {lowest:g} and then {highest:g}")
