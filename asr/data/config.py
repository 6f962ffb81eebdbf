"""Options of `asr prepare` and the data section of a recipe. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import FLAT, MAY_CHANGE, SHOWN, NotNegative, Positive, PositiveReal, Share
from asr.utils.ray_cluster import EngineConfig


@dataclass(frozen=True)
class SyntheticConfig:
    """Synthetic speech, for trials, tests and pretraining; results on it say nothing about human speech."""

    #: Synthesiser. 'espeak': espeak-ng, fast formant synthesis. 'kokoro': Kokoro-82M, neural synthesis in blends of its
    #: voices at 1.7 times real time per core; needs the files in synthetic.kokoro.
    engine: Literal["espeak", "kokoro"] = "espeak"
    #: Folder with Kokoro's model.onnx, vocab.json and voices (`make -C recipes/english kokoro` fetches them).
    kokoro: Path = Path("data/english/kokoro")
    #: Training utterances.
    train: Positive = 3000
    #: Dev utterances, in voices that are not in train.
    dev: Positive = 200
    #: Test utterances, in voices that are in neither train nor dev.
    test: Positive = 400
    #: Share of utterances with background noise, 10 to 30 dB below the speech.
    noise_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    #: Share of utterances with reverberation (simulated rooms with an RT60 of 0.1 to 0.4 s).
    reverberation_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.3
    #: Seed for sentences, voices, rooms and noise. The same seed gives the same corpus, sample for sample.
    seed: NotNegative = 0


@dataclass(frozen=True)
class SplitConfig:
    """Split by speaker, so that no speaker is in two subsets; a corpus of one speaker is split by utterance. With both
    shares 0, the subsets of the corpus are kept."""

    #: Share of the audio for dev.jsonl.
    dev: Share = 0.0
    #: Share of the audio for test.jsonl.
    test: Share = 0.0
    #: Seed for the choice of speakers. The same seed and corpus give the same split.
    seed: NotNegative = 0


@dataclass(frozen=True)
class KaldiConfig:
    """A Kaldi data directory."""

    #: Run the commands in wav.scp (`sox ... |`) in a shell and keep their output in DIR/audio. Only for files that you
    #: trust; otherwise these utterances are rejected.
    run_commands: bool = False


@dataclass(frozen=True)
class NemoConfig:
    """A NeMo manifest."""

    #: Folder that relative paths start from, if not the manifest's own.
    root: Annotated[Path | None, SHOWN] = None


@dataclass(frozen=True)
class HuggingfaceConfig:
    """A dataset of the `datasets` package."""

    #: Split, in the notation of `datasets`, such as train or test[:10%].
    split: str = "train"
    #: Column with the transcripts.
    text_column: str = "text"


@dataclass(frozen=True)
class PrepareConfig:
    """How a corpus becomes manifests."""

    #: Recipe to check utterances against: its alphabet, replacements, features and subsampling. Without one, any
    #: character is allowed, and utterances may be as short as 10 ms per character.
    recipe: Annotated[Path | None, SHOWN] = None
    #: Longest utterance in seconds; longer ones are rejected.
    max_seconds: PositiveReal = 35.0
    #: Number of tar shards for the recordings of the largest subset, and in proportion for the others. 0: leave them
    #: where they are.
    shards: NotNegative = 0
    #: Rejected utterances that are tolerated: with more, the exit status is 1. Manifests are written in any case.
    max_rejects: NotNegative = 0
    #: Language (en, de, fr, ...) in which to write out numbers such as '23 pounds'; numbers.jsonl lists the changes.
    #: With 'none', digits stay.
    numbers: str = "none"
    #: LibriSpeech only: first download and verify the official subset that SOURCE ends with, such as data/dev-clean.
    download: bool = False
    where: Annotated[EngineConfig, FLAT] = field(default_factory=EngineConfig)
    split: SplitConfig = SplitConfig()
    synthetic: SyntheticConfig = SyntheticConfig()
    kaldi: KaldiConfig = KaldiConfig()
    nemo: NemoConfig = NemoConfig()
    huggingface: HuggingfaceConfig = HuggingfaceConfig()


@dataclass(frozen=True)
class DataConfig:
    """Training and dev data. Paths in a recipe are relative to the recipe's folder."""

    #: Training manifests (JSON Lines, as written by `asr prepare`), or tar shards such as train-{0000..0999}.tar.
    train: Annotated[tuple[Path, ...], SHOWN, MAY_CHANGE] = ()
    #: Dev manifests, for early stopping and the choice of checkpoints.
    dev: Annotated[tuple[Path, ...], SHOWN, MAY_CHANGE] = ()
    #: Lexicon in CMUdict's format with the words of all transcripts, for model.phone_layer (`asr lexicon` writes it).
    #: Of several pronunciations the first is used.
    lexicon: Annotated[Path | None, SHOWN, MAY_CHANGE] = None
    #: The network tells a phone apart at the beginning of a word, after a vowel and after a consonant, where the
    #: training transcripts have it this often. 0: phones without context.
    phone_contexts: NotNegative = 0
    #: Number of tar shards that are shuffled together; training goes through the shards in groups of this size.
    shuffle_shards: Positive = 16
    #: Longest recording in seconds; longer ones are an error, since they would need too much memory.
    max_seconds: PositiveReal = 35.0
