"""Every option once: its unit, its default and why. The comments above the fields are the `--help` texts.

A recipe is a TOML file with the sections of `Recipe`; the same names, dotted, are the options of `asr train`.
"""

import dataclasses
import difflib
import math
import os
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import tyro

from asr.errors import ConfigError

T = TypeVar("T")
Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
PositiveReal = Annotated[float, msgspec.Meta(gt=0)]
NotNegativeReal = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
FLAT = tyro.conf.arg(name="")  # options of a section without the section's name before them


@dataclass(frozen=True)
class DataConfig:
    """Where the recordings and transcripts are. Paths in a recipe are relative to the recipe's own folder."""

    #: Manifests to learn from (JSON Lines, as `asr prepare` writes them).
    train: tuple[Path, ...] = ()
    #: Manifests that judge each epoch: for early stopping and for choosing checkpoints, never for learning.
    dev: tuple[Path, ...] = ()
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
    mels: Positive = 80
    #: Seconds of the analysis window: long enough for pitch, short enough for plosives.
    window_seconds: PositiveReal = 0.025
    #: Seconds from one frame to the next.
    hop_seconds: PositiveReal = 0.010
    #: Hertz. Lower edge of the lowest band; it leaves out hum and direct current.
    lowest_hertz: NotNegativeReal = 20.0
    #: How each band is brought to zero mean and unit variance: over the whole utterance, or over what has been
    #: heard so far (for input that is still arriving).
    normalization: Literal["utterance", "running", "none"] = "utterance"


@dataclass(frozen=True)
class AugmentConfig:
    """Changes to the training features: masks, so that no single cue is relied on (SpecAugment, Park et al. 2019), and
    other voices (vocal tract length perturbation, Jaitly & Hinton 2013)."""

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


@dataclass(frozen=True)
class ModelConfig:
    """The acoustic model: convolutional subsampling, bidirectional LSTM layers, a linear CTC head."""

    #: Feature frames for each output frame. 4 gives 40 ms frames: four times less work for the recurrent layers,
    #: and still more frames than characters in fast speech.
    subsampling: Literal[1, 2, 4, 8] = 4
    #: Channels of the convolutions that subsample.
    channels: Positive = 32
    #: Bidirectional LSTM layers.
    layers: Positive = 3
    #: LSTM cells for each direction.
    width: Positive = 256
    #: Share of activations set to zero between layers while training.
    dropout: Share = 0.2


@dataclass(frozen=True)
class TrainingConfig:
    """How the model learns."""

    #: Passes over the training data; fewer when early stopping ends the run.
    epochs: Positive = 30
    #: Seconds of audio for each step, padding included. More is faster for each second, less makes more steps.
    batch_seconds: PositiveReal = 120.0
    #: Peak learning rate of AdamW.
    learning_rate: PositiveReal = 1e-3
    #: Share of all steps in which the learning rate climbs from zero; it then falls to zero along a half cosine.
    warmup_share: Share = 0.1
    #: AdamW's decoupled weight decay, on matrices only.
    weight_decay: NotNegativeReal = 1e-2
    #: Largest gradient norm; longer gradients are scaled down to it. The norm before clipping is logged.
    clip_norm: PositiveReal = 5.0
    #: Epochs without a better dev WER after which training stops.
    patience: Positive = 10
    #: The final model is the average of this many best checkpoints by dev WER (or the best one if that is better
    #: on dev).
    average: Positive = 3
    #: Arithmetic of the network. 'auto' takes bfloat16 where the processor or GPU gains from it and says why.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    #: Where to compute. 'auto' takes a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: Gigabytes. Features are kept in memory when they fit into this, and read once rather than in each epoch; an
    #: hour of audio takes 0.12.
    memory_gigabytes: NotNegativeReal = 1.0
    #: Processes that make features ahead of the training loop when they are not kept; 0 does it in between steps.
    workers: NotNegative = 1
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


@dataclass(frozen=True)
class LmTextConfig:
    """How a language model sees text: the same way in training, measuring and recognising."""

    #: Applied to the text first; choose what the recogniser's recipe has. 'nfc': Unicode NFC and single spaces,
    #: nothing else. 'basic': also lower case and no punctuation but apostrophes inside words. 'none': text as it is.
    normalizer: Literal["basic", "nfc", "none"] = "basic"
    #: Each character is a word of its own and spaces are dropped: for languages written without spaces.
    characters: bool = False

    @property
    def unit(self) -> str:
        """What n-grams are made of."""
        return "characters" if self.characters else "words"


@dataclass(frozen=True)
class LmConfig(LmTextConfig):
    """How text becomes a language model (interpolated modified Kneser-Ney)."""

    #: Words of the longest n-grams. 3 is the usual choice for recognition; 4 gains a few percent of perplexity and
    #: needs twice the memory.
    order: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3
    #: Leave out n-grams that occur this often or less: a value an order from 1 on, such as 0 0 1; the last one holds
    #: for all further orders. The first must be 0, and none may be below the one before it. Empty: all are kept.
    prune: tuple[NotNegative, ...] = ()
    #: Words to keep, the most frequent ones; all others become <unk>. 0 keeps all.
    vocab: NotNegative = 0
    #: Nats for each word of the text. Leave out n-grams whose loss costs less relative entropy than this (Stolcke
    #: 1998), best after prune 0 0 1: on 40 million words, 3e-8 then leaves 54% of a 3-gram model for 4% more
    #: perplexity, 1e-7 leaves 23% for 10% more. 0 keeps all.
    entropy: NotNegativeReal = 0.0


@dataclass(frozen=True)
class SyntheticConfig:
    """The embedded corpus: sentences spoken by espeak-ng, for trying the program and its tests, not for claims
    about human speech."""

    #: Utterances to learn from.
    train: Positive = 3000
    #: Utterances to judge each epoch by, in voices that train does not have.
    dev: Positive = 200
    #: Utterances for the report, in voices that neither train nor dev has.
    test: Positive = 400
    #: Share of utterances with background noise, at 10 to 30 dB below the speech.
    noise_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    #: Share of utterances heard in a room (a synthetic impulse response, 0.1 to 0.4 s until 60 dB down).
    reverberation_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.3
    #: The same seed gives the same corpus, sample for sample.
    seed: NotNegative = 0


@dataclass(frozen=True)
class SplitConfig:
    """Splits by speaker: nobody is heard in two of them. Leave both at 0 to keep the corpus's own subsets."""

    #: Share of the audio for dev.jsonl.
    dev: Share = 0.0
    #: Share of the audio for test.jsonl.
    test: Share = 0.0
    #: Chooses the speakers; the same seed and corpus always give the same split.
    seed: NotNegative = 0


@dataclass(frozen=True)
class PrepareConfig:
    """How a corpus becomes manifests."""

    #: Check transcripts against this recipe's text rules (alphabet, replacements), features and subsampling.
    #: Without it: any character is allowed, and frames are those of the default recipe.
    recipe: Path | None = None
    #: Seconds. Longer utterances are rejected.
    max_seconds: PositiveReal = 35.0
    #: With more rejected utterances than this the exit status is 1; the manifests are written all the same.
    max_rejects: NotNegative = 0
    #: LibriSpeech only: fetch and check the official subset that SOURCE ends in (such as data/dev-clean) first.
    download: bool = False
    split: SplitConfig = SplitConfig()
    synthetic: SyntheticConfig = SyntheticConfig()


@dataclass(frozen=True)
class BeamConfig:
    """Prefix beam search: how far it looks, and how much language model, words and hotwords count."""

    #: Prefixes kept in each frame. More finds better word sequences and takes longer.
    beam: Positive = 64
    #: Nats (natural logarithm) below the best prefix at which one is dropped; at most 600.
    beam_nats: PositiveReal = 16.0
    #: Tokens of each frame that may extend a prefix; 0: all of them.
    top_tokens: NotNegative = 0
    #: Frames whose blank is at least this probable pass as pure blanks; 1: none, the exact result.
    blank_skip: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    #: Weight of the language model's log-probability beside the acoustic one, which has weight 1.
    lm_weight: NotNegativeReal = 0.5
    #: Nats added for each word: above 0 against deletions, below against insertions.
    word_bonus: float = 0.0
    #: Whether words outside the lexicon or language model may be written, letter by letter.
    open_vocabulary: bool = True
    #: Nats added for each such word, besides what the language model gives <unk>.
    unknown_penalty: Annotated[float, msgspec.Meta(le=0)] = -10.0
    #: Hypotheses to give for each utterance, the best first.
    hypotheses: Positive = 1


@dataclass(frozen=True)
class DecoderConfig:
    """From log-probabilities to words. A `decoder.toml` beside the model file, as `asr tune` writes it, has the
    defaults for that model."""

    #: 'greedy': the best token of each frame. 'beam': prefix beam search. 'auto': beam search if there is a language
    #: model, a lexicon or hotwords, else greedy.
    decoder: Literal["auto", "greedy", "beam"] = "auto"
    #: N-gram language model: an ARPA file of any tool (.arpa, .arpa.gz, .arpa.xz) or a compiled one (.asrlm); 'none'
    #: leaves out the one that decoder.toml names.
    lm: str = "none"
    #: Word list, or words and their tokens as in CMUdict: nothing else can be recognised, unless open_vocabulary.
    lexicon: Path | None = None
    #: Phrases to prefer, one a line; a tab and a number behind one are its own boost.
    hotwords: Path | None = None
    #: Nats that a hotword is preferred by.
    hotword_boost: PositiveReal = 5.0
    beam: Annotated[BeamConfig, FLAT] = BeamConfig()

    @property
    def is_greedy(self) -> bool:
        """Whether there is no search."""
        plain = self.lm == "none" and self.lexicon is None and self.hotwords is None
        return self.decoder == "greedy" or (self.decoder == "auto" and plain)

    def describe(self) -> str:
        """The decoder for a report: its files by name, and the weights that it has."""
        if self.is_greedy:
            return "greedy"
        beam, parts = self.beam, [f"beam {self.beam.beam}"]
        if self.lm != "none":
            parts.append(f"language model {Path(self.lm).name} (weight {beam.lm_weight:g})")
        if self.lexicon:
            parts.append(f"lexicon {self.lexicon.name}")
        if self.lm != "none" or self.lexicon:
            vocabulary = f"open (unknown word {beam.unknown_penalty:g})" if beam.open_vocabulary else "closed"
            parts.append(f"{vocabulary} vocabulary")
        if self.hotwords:
            parts.append(f"hotwords {self.hotwords.name} (boost {self.hotword_boost:g})")
        if beam.word_bonus:
            parts.append(f"word bonus {beam.word_bonus:g}")
        changed = [
            f"{name} {getattr(beam, name):g}"
            for name in ("beam_nats", "top_tokens", "blank_skip")
            if getattr(beam, name) != getattr(BeamConfig(), name)
        ]
        return ", ".join(parts + changed)


@dataclass(frozen=True)
class RunConfig:
    """Where and how much at once a trained model computes."""

    #: Where to compute. 'auto' takes a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: Seconds of audio that are recognised at once: more needs more memory, and helps on a GPU.
    batch_seconds: PositiveReal = 120.0


@dataclass(frozen=True)
class TranscribeConfig:
    """Sound to words."""

    #: 'txt': the words. 'json': also each word's start and end in seconds and its confidence, 0 to 1, and the
    #: other hypotheses if there are any.
    format: Literal["txt", "json"] = "txt"
    run: Annotated[RunConfig, FLAT] = RunConfig()
    search: Annotated[DecoderConfig, FLAT] = DecoderConfig()


@dataclass(frozen=True)
class EvaluateConfig:
    """Measuring on recordings with known transcripts."""

    #: Utterances whose spectrogram and posteriors the HTML report shows: of the worst ones, and of the first.
    pictures: NotNegative = 4
    run: Annotated[RunConfig, FLAT] = RunConfig()
    search: Annotated[DecoderConfig, FLAT] = DecoderConfig()


@dataclass(frozen=True)
class TuneConfig:
    """The search for decoder weights on a dev set."""

    #: Largest language model weight tried.
    most_lm_weight: PositiveReal = 2.0
    #: Nats. Word bonuses from minus this to this are tried.
    most_word_bonus: NotNegativeReal = 3.0
    #: Values of each in the first grid; each later grid has 3 by 3 around the best, half as far apart.
    grid: Annotated[int, msgspec.Meta(ge=2)] = 5
    #: Later grids.
    rounds: NotNegative = 3
    #: Beams tried with the best weights. The smallest one is chosen whose WER is within 0.1 points of the best.
    beams: tuple[Positive, ...] = (8, 16, 32, 64, 128, 256)
    run: Annotated[RunConfig, FLAT] = RunConfig()
    search: Annotated[DecoderConfig, FLAT] = DecoderConfig()


def decoder_file(model: Path) -> Path:
    """Where the decoder's defaults for a model file are kept."""
    return Path(model).with_name("decoder.toml")


def load_decoder(model: Path) -> DecoderConfig:
    """The decoder's defaults for a model file: those of its decoder.toml, paths against its folder, or the built-in
    ones. Raises `ConfigError` naming the file."""
    path = decoder_file(model)
    if not path.exists():
        return DecoderConfig()
    config = from_values(DecoderConfig, read_toml(path, "decoder's defaults"), str(path))
    names = {key: getattr(config, key) for key in ("lexicon", "hotwords") if getattr(config, key)}
    paths = {key: _below(path.parent, name) for key, name in names.items()}
    lm = config.lm if config.lm == "none" else str(_below(path.parent, Path(config.lm)))
    return dataclasses.replace(config, lm=lm, **paths)


def load_recipe(path: Path) -> Recipe:
    """Read a TOML recipe; paths in it are resolved against its own folder.

    Raises `ConfigError` naming the file, the key and what is allowed.
    """
    recipe = from_values(Recipe, read_toml(path, "recipe"), str(path))
    folder = Path(path).parent
    data = dataclasses.replace(
        recipe.data,
        train=tuple(_below(folder, name) for name in recipe.data.train),
        dev=tuple(_below(folder, name) for name in recipe.data.dev),
    )
    return dataclasses.replace(recipe, output=_below(folder, recipe.output), data=data)


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """The values of a TOML file; raises `ConfigError` naming it."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give the path of a {kind} (TOML)") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _below(folder: Path, name: Path) -> Path:
    return Path(os.path.normpath(folder / name))


def from_values(kind: type[T], values: Any, origin: str) -> T:
    """A config dataclass from plain values, with unknown keys, wrong types and bounds as `ConfigError`s."""
    if isinstance(values, dict):
        _check_keys(kind, values, origin, "")
    try:
        return msgspec.convert(values, kind, dec_hook=lambda wanted, value: wanted(value))
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        key = place.strip(".`")
        raise ConfigError(f"{origin}: {_shown(kind, key) or 'recipe'}: {message}{_choices(kind, key)}") from error


def _shown(kind: type, key: str) -> str:
    """A key as an option has it, without the names of sections that options leave out."""
    names = []
    for name in key.split("."):
        hints = typing.get_type_hints(kind, include_extras=True) if dataclasses.is_dataclass(kind) else {}
        kind = hints.get(name.partition("[")[0])
        if FLAT in getattr(kind, "__metadata__", ()):
            kind = typing.get_args(kind)[0]
        else:
            names.append(name)
    return ".".join(names)


def to_values(config: Any) -> dict[str, Any]:
    """Plain values (for TOML, JSON and the model file) of a config dataclass; the reverse of `from_values`."""
    return msgspec.to_builtins(config, enc_hook=str)


def validate(config: T, origin: str) -> T:
    """Check a config that did not come from a file: command-line overrides skip the bounds otherwise."""
    return from_values(type(config), to_values(config), origin)


def _choices(kind: type, key: str) -> str:
    """What a field with fixed choices allows, for an error message."""
    for name in key.split("."):
        kind = typing.get_type_hints(kind).get(name.partition("[")[0]) if dataclasses.is_dataclass(kind) else None
    return f"; allowed: {', '.join(map(str, typing.get_args(kind)))}" if typing.get_origin(kind) is Literal else ""


def _check_keys(kind: type, values: dict[str, Any], origin: str, prefix: str) -> None:
    fields = typing.get_type_hints(kind)
    for key, value in values.items():
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean '{prefix}{close[0]}'? " if close else ""
            raise ConfigError(f"{origin}: unknown key '{prefix}{key}'; {hint}allowed: {', '.join(fields)}")
        if dataclasses.is_dataclass(fields[key]) and isinstance(value, dict):
            _check_keys(fields[key], value, origin, f"{prefix}{key}.")
