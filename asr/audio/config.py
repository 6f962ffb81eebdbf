"""The features and augment sections of a recipe. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import SHOWN, NotNegative, NotNegativeReal, Positive, PositiveReal, Share, Size

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
FrameSeconds = Annotated[float, msgspec.Meta(ge=0.001, le=0.2)]  # two samples or more at the lowest sample rate
Speed = Annotated[float, msgspec.Meta(ge=0.5, le=2)]
Mp3Kilobits = Annotated[float, msgspec.Meta(ge=16, le=160)]  # what libsndfile can write at 16 kHz
ON_FEATURES = "changes features when a batch is made, not the sound"  # a mark of fields, see `marked`
OpusKilobits = Annotated[float, msgspec.Meta(ge=6, le=256)]


@dataclass(frozen=True)
class FeatureConfig:
    """Log-mel features, the input of the network."""

    #: Sample rate in hertz; other recordings are resampled to it. Use 8000 for telephone speech.
    sample_rate: Annotated[int, msgspec.Meta(ge=2000, le=192000)] = 16000
    #: Number of mel bands.
    mels: Size = 80
    #: Length of the analysis window in seconds.
    window_seconds: FrameSeconds = 0.025
    #: Step from one frame to the next in seconds.
    hop_seconds: FrameSeconds = 0.010
    #: Lower edge of the lowest band in hertz; excludes hum and DC.
    lowest_hertz: NotNegativeReal = 20.0
    #: Scope of the mean and variance normalisation of each band: the whole utterance, or only the past (for live
    #: input).
    normalization: Literal["utterance", "running", "none"] = "utterance"
    #: Seconds of average speech that count in this mean and variance besides the recording's own. 1 suits recordings of
    #: a word or two, whose own mean is mostly that of their vowels; their ends, which are often cut abruptly, are then
    #: faded over 5 ms. 0: none.
    average_seconds: NotNegativeReal = 0.0

    def __post_init__(self):
        if not self.lowest_hertz < self.sample_rate / 2:
            raise ValueError(f"lowest_hertz: must be below half the sample rate, not {self.lowest_hertz:g}")

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next."""
        return round(self.hop_seconds * self.sample_rate)


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of training data. Of the sound: speed, ends, rooms, noise, microphones, codecs, gaps. Of the
    features: masks (SpecAugment, Park et al. 2019) and vocal tract length perturbation (Jaitly and Hinton 2013).
    Preview it with the command `asr augment`."""

    #: Versions of each utterance, each with its own changes to the sound, computed once and cached; epochs cycle
    #: through them. More variety costs disk space, not time.
    copies: Positive = 1
    #: Speed factors, 0.5 to 2, of which each copy gets one; pitch changes too. 0.9 1.0 1.1 is the usual choice (Ko et
    #: al. 2015).
    speeds: Annotated[tuple[Speed, ...], msgspec.Meta(min_length=1)] = (1.0,)
    #: Probability per copy that its quiet beginning and end are cut off, as by a voice-activated recorder.
    trim_share: Probability = 0.0
    #: Range in decibels below the loudest 10 ms at which such a recorder starts and stops; with less than 25, it misses
    #: consonants. At most a quarter of the recording is cut at either end.
    trim_decibels: tuple[PositiveReal, PositiveReal] = (8.0, 30.0)
    #: Probability of silence before and after the recording per copy. Batches are planned without it.
    silence_share: Probability = 0.0
    #: Range in seconds of the silence at either end.
    silence_seconds: tuple[NotNegativeReal, NotNegativeReal] = (0.0, 0.3)
    #: Probability of a simulated room (the direct sound and a decaying tail of noise) per copy.
    reverberation_share: Probability = 0.0
    #: Range in seconds of the room's decay by 60 dB: 0.3 is a furnished room, 1 a bare hall.
    reverberation_seconds: tuple[PositiveReal, PositiveReal] = (0.2, 0.8)
    #: Range in decibels of the direct sound above the room's tail: 0 is across the room, 12 close to the mouth.
    reverberation_decibels: tuple[float, float] = (0.0, 12.0)
    #: Probability of background noise per copy.
    noise_share: Probability = 0.0
    #: Range in decibels of the signal-to-noise ratio. Below 5, listeners struggle too.
    noise_snr_decibels: tuple[float, float] = (5.0, 25.0)
    #: Folder of noise recordings, searched recursively. Without it, noise from white to brown is generated.
    noise: Annotated[Path | None, SHOWN] = None
    #: Decibels by which the level of each copy may change, up or down. Peaks stay within full scale.
    gain_decibels: NotNegativeReal = 0.0
    #: Largest gain or loss in decibels, at each octave, of a random frequency response per copy, as of another
    #: microphone. 0: flat.
    equalizer_decibels: NotNegativeReal = 0.0
    #: Probability of clipping per copy, as by an overdriven microphone.
    clipping_share: Probability = 0.0
    #: Range in decibels by which peaks exceed the level at which they are clipped.
    clipping_decibels: tuple[NotNegativeReal, NotNegativeReal] = (3.0, 15.0)
    #: Probability of a far too quiet 16-bit recording per copy, whose rounding error becomes audible.
    quiet_share: Probability = 0.0
    #: Range in decibels of a quiet recording's peak below full scale.
    quiet_decibels: tuple[NotNegativeReal, NotNegativeReal] = (30.0, 60.0)
    #: Probability of missing high frequencies per copy, as with cheap microphones or low sample rates.
    band_limit_share: Probability = 0.0
    #: Range in hertz of the limit above which everything is removed.
    band_limit_hertz: tuple[PositiveReal, PositiveReal] = (3000.0, 7000.0)
    #: Probability of MP3 coding at a low bit rate per copy.
    mp3_share: Probability = 0.0
    #: Range of the MP3 bit rate in kbit/s, within 16 to 160.
    mp3_kilobits: tuple[Mp3Kilobits, Mp3Kilobits] = (24.0, 64.0)
    #: Probability of Opus coding at a low bit rate per copy.
    opus_share: Probability = 0.0
    #: Range of the Opus bit rate in kbit/s, within 6 to 256.
    opus_kilobits: tuple[OpusKilobits, OpusKilobits] = (12.0, 32.0)
    #: Probability of a telephone line per copy: 300 to 3400 Hz at 8000 Hz, coded as G.711 (mu-law, A-law) or GSM 6.10.
    telephone_share: Probability = 0.0
    #: Probability of gaps of zeros per copy, as from lost packets.
    gap_share: Probability = 0.0
    #: Range in seconds of the duration of the gaps of a copy.
    gap_seconds: tuple[PositiveReal, PositiveReal] = (0.02, 0.2)
    #: Mean number of gaps per second in a copy that has any; there is at least one.
    gaps_per_second: PositiveReal = 0.3
    #: Largest relative stretch or squeeze of the mel axis: each utterance sounds like a smaller or larger speaker,
    #: which helps with unseen voices.
    frequency_stretch: Annotated[Share, ON_FEATURES] = 0.1
    #: Masks along time per utterance.
    time_masks: Annotated[NotNegative, ON_FEATURES] = 2
    #: Duration of the longest time mask in seconds.
    time_mask_seconds: Annotated[NotNegativeReal, ON_FEATURES] = 0.4
    #: Longest time mask as a share of the utterance, which protects short utterances.
    time_mask_share: Annotated[Share, ON_FEATURES] = 0.1
    #: Masks along frequency per utterance.
    frequency_masks: Annotated[NotNegative, ON_FEATURES] = 2
    #: Width of the widest frequency mask in mel bands.
    frequency_mask_mels: Annotated[NotNegative, ON_FEATURES] = 20

    def __post_init__(self):
        for name, value in vars(self).items():
            if isinstance(value, tuple) and name != "speeds" and value[0] > value[1]:
                raise ValueError(f"{name}: give the lower value first, not {value[0]:g} {value[1]:g}")
