"""Every option of a recipe once: its unit, its default and why. The comments above the fields are the `--help` texts.

A recipe is a TOML file with the sections of `Recipe`; the same names, dotted, are the options of `asr train`.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asr.values import NotNegative, NotNegativeReal, Positive, PositiveReal, Share, below, from_values, read_toml

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Size = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
FrameSeconds = Annotated[float, msgspec.Meta(ge=0.001, le=0.2)]  # two samples at the lowest sample rate, and more
Speed = Annotated[float, msgspec.Meta(ge=0.5, le=2)]


@dataclass(frozen=True)
class DataConfig:
    """Where the recordings and transcripts are. Paths in a recipe are relative to the recipe's own folder."""

    #: Manifests to learn from (JSON Lines, as `asr prepare` writes them).
    train: tuple[Path, ...] = ()
    #: Manifests that judge each epoch: for early stopping and for choosing checkpoints, never for learning.
    dev: tuple[Path, ...] = ()
    #: Pronunciations, as in CMUdict, of all words of the transcripts (`asr lexicon` makes them): what model.phone_layer
    #: learns. Of a word that has several, the first one counts.
    lexicon: Path | None = None
    #: Seconds. Longer recordings are an error: one of them would decide the memory that every batch needs.
    max_seconds: PositiveReal = 35.0


@dataclass(frozen=True)
class TextConfig:
    """What the model writes: how transcripts are normalised and cut into tokens."""

    #: Applied to transcripts before training and before scoring. 'nfc': Unicode NFC and single spaces, nothing
    #: else. 'basic': also lower case and no punctuation but apostrophes inside words; the usual choice.
    normalizer: Literal["nfc", "basic"] = "basic"
    #: Tokens: single characters, which need no choice of size and suit small corpora, or byte-pair units.
    units: Literal["characters", "bpe"] = "characters"
    #: The characters the model may write, the space included. Empty: those of the training transcripts.
    alphabet: str = ""
    #: Number of byte-pair units, single characters included; used only with units 'bpe'. About 500 for 10 hours of
    #: speech, more with more.
    bpe_size: Annotated[int, msgspec.Meta(ge=2)] = 256
    #: Text replaced after normalising, such as "é" by "e", or "&" by " and ": the way to map characters that the
    #: alphabet lacks. Without it such characters are an error, never dropped.
    replace: dict[str, str] = field(default_factory=dict)


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


@dataclass(frozen=True)
class ModelConfig:
    """The acoustic model: convolutional subsampling, the layers of one encoder family, a linear CTC head."""

    #: How one frame learns from others. Recurrent: 'rnn' (Elman's, tanh), 'gru' and 'lstm' look back only, so that
    #: words can come while someone speaks; 'bilstm' looks both ways. 'cnn': separable convolutions along time, about a
    #: second each way. 'transformer': self-attention with rotary positions. 'none': each frame by itself, to compare.
    encoder: Literal["rnn", "gru", "lstm", "bilstm", "cnn", "transformer", "none"] = "bilstm"
    #: Feature frames for each output frame. 4 gives 40 ms frames: four times less work for the recurrent layers,
    #: and still more frames than characters in fast speech. 3 suits letters better, 6 and 8 larger units.
    subsampling: Literal[1, 2, 3, 4, 6, 8] = 4
    #: Channels of the convolutions that subsample.
    channels: Size = 32
    #: Layers of the encoder.
    layers: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    #: Size of a layer: cells for each direction of the recurrent families, features of a frame of the others.
    width: Size = 256
    #: Share of activations set to zero between layers while training.
    dropout: Share = 0.2
    #: Layer, counted from 1, that names phones, by a CTC head of its own; layers above it hear what it named
    #: (self-conditioning, Nozaki & Komatsu 2021). English letters are easier to find by way of phones, and a
    #: pronunciation lexicon can be searched with them. Needs data.lexicon. 0: none.
    phone_layer: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0

    def __post_init__(self):
        if self.phone_layer > self.layers:
            raise ValueError(f"phone_layer: there are {self.layers} layers, so not {self.phone_layer}")


@dataclass(frozen=True)
class TrainingConfig:
    """How the model learns."""

    #: Passes over the training data; fewer when early stopping ends the run.
    epochs: Positive = 30
    #: Seconds of audio for each step, padding included, over all processes of the run. More is faster for each second,
    #: less makes more steps.
    batch_seconds: PositiveReal = 120.0
    #: Parts that each batch is learned in, one after the other, before the weights change: less memory for the same
    #: result.
    accumulate: Positive = 1
    #: Model file whose weights to begin with, where name and shape agree; those of the output layer go by token, so
    #: that its alphabet may be another one.
    warm_start: Path | None = None
    #: Peak learning rate of AdamW.
    learning_rate: PositiveReal = 1e-3
    #: Share of all steps in which the learning rate climbs from zero.
    warmup_share: Share = 0.1
    #: The learning rate after that: down to zero along a half cosine or a line, or constant, for runs that patience
    #: ends.
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    #: AdamW's decoupled weight decay, on matrices only.
    weight_decay: NotNegativeReal = 1e-2
    #: Share of the phones in the loss, the tokens having the rest; only with model.phone_layer.
    phone_weight: Share = 0.5
    #: Largest gradient norm; longer gradients are scaled down to it. The norm before clipping is logged.
    clip_norm: PositiveReal = 5.0
    #: Decay of the moving average of the weights at each step, such as 0.999; the average is what is measured on dev
    #: and kept. 0: the weights themselves.
    ema: Share = 0.0
    #: Epochs without a better dev WER after which training stops.
    patience: Positive = 10
    #: The final model is the average of this many best checkpoints by dev WER (or the best one if that is better
    #: on dev).
    average: Positive = 3
    #: Arithmetic of the network. 'auto' takes bfloat16 where the processor or GPU gains from it and says why.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    #: Where to compute. 'auto' takes a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: Folder for features, made once and read in each epoch; several runs may share it. None: in the run's folder,
    #: until the run ends.
    cache: Path | None = None
    #: Gigabytes. Features that take more, 0.06 for an hour of audio and each copy, are made anew in each epoch.
    cache_gigabytes: NotNegativeReal = 20.0
    #: Processes that make batches ahead of the training loop; none are needed on a CPU when the features are kept.
    workers: NotNegative = 2
    #: Minutes between checkpoints inside an epoch: the most that a crash can lose. 0 saves after every step.
    checkpoint_minutes: NotNegativeReal = 5.0
    #: Everything random follows from it: weights, order, masks, dropout.
    seed: NotNegative = 0


@dataclass(frozen=True)
class Recipe:
    """A whole training run: data, text, features, model and learning."""

    #: Folder for the model file, checkpoints and logs. In a recipe it is relative to the recipe's folder.
    output: Path = Path("run")
    data: DataConfig = DataConfig()
    text: TextConfig = field(default_factory=TextConfig)
    features: FeatureConfig = FeatureConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()

    @property
    def frame_seconds(self) -> float:
        """Seconds from one output frame of the model to the next."""
        return self.features.hop_seconds * self.model.subsampling

    def output_frames(self, seconds: float) -> int:
        """Output frames of the model for a recording: feature frames at each hop and the start, subsampled."""
        rate = self.features.sample_rate
        frames = 1 + round(seconds * rate) // round(self.features.hop_seconds * rate)
        return math.ceil(frames / self.model.subsampling)


def load_recipe(path: Path) -> Recipe:
    """Read a TOML recipe; paths in it are resolved against its own folder.

    Raises `ConfigError` naming the file, the key and what is allowed.
    """
    recipe = from_values(Recipe, read_toml(path, "recipe"), str(path))
    folder = Path(path).parent
    data = dataclasses.replace(
        recipe.data,
        train=tuple(below(folder, name) for name in recipe.data.train),
        dev=tuple(below(folder, name) for name in recipe.data.dev),
        lexicon=recipe.data.lexicon and below(folder, recipe.data.lexicon),
    )
    noise = recipe.augment.noise and below(folder, recipe.augment.noise)
    augment = dataclasses.replace(recipe.augment, noise=noise)
    names = {key: getattr(recipe.training, key) for key in ("warm_start", "cache")}
    training = dataclasses.replace(
        recipe.training, **{key: name and below(folder, name) for key, name in names.items()}
    )
    return dataclasses.replace(
        recipe, output=below(folder, recipe.output), data=data, augment=augment, training=training
    )
