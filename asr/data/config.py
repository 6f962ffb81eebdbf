"""Options of `asr prepare` and the data section of a recipe. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import MAY_CHANGE, SHOWN, NotNegative, Positive, PositiveReal, Share


@dataclass(frozen=True)
class SyntheticConfig:
    """The synthetic corpus: sentences spoken by a synthesiser, for trials, tests and pretraining, not for claims about
    human speech."""

    #: Synthesiser. 'espeak': espeak-ng, formant synthesis, fast. 'kokoro': Kokoro-82M, neural synthesis with blends of
    #: 28 voices, 1.7 times real time per core; needs the extra 'synthetic' and its parts in synthetic.kokoro.
    engine: Literal["espeak", "kokoro"] = "espeak"
    #: Folder with Kokoro's model.onnx, vocab.json and voices (`make -C recipes/english kokoro` fetches them).
    kokoro: Path = Path("data/english/kokoro")
    #: Training utterances.
    train: Positive = 3000
    #: Dev utterances, by voices that are not in train.
    dev: Positive = 200
    #: Test utterances, by voices that are in neither train nor dev.
    test: Positive = 400
    #: Share of utterances with background noise, 10 to 30 dB below the speech.
    noise_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    #: Share of utterances with reverberation (synthetic impulse responses with an RT60 of 0.1 to 0.4 s).
    reverberation_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.3
    #: Seed for sentences, voices, rooms and noise. The same seed gives the same corpus, sample for sample.
    seed: NotNegative = 0


@dataclass(frozen=True)
class SplitConfig:
    """A split by speaker: nobody is in two subsets. A corpus of one speaker is split by utterance. With both shares 0
    the corpus's own subsets are kept."""

    #: Share of the audio for dev.jsonl.
    dev: Share = 0.0
    #: Share of the audio for test.jsonl.
    test: Share = 0.0
    #: Seed for the choice of speakers. The same seed and corpus give the same split.
    seed: NotNegative = 0


@dataclass(frozen=True)
class KaldiConfig:
    """A Kaldi data directory."""

    #: Run the commands in wav.scp (`sox ... |`) in a shell, and keep what they write in DIR/audio. Without it they are
    #: rejected. Only for files that you trust.
    run_commands: bool = False


@dataclass(frozen=True)
class NemoConfig:
    """A NeMo manifest."""

    #: Folder that relative paths start from, where they are not relative to the manifest.
    root: Annotated[Path | None, SHOWN] = None


@dataclass(frozen=True)
class HuggingfaceConfig:
    """A data set of the `datasets` package."""

    #: Split, in the notation of `datasets`, such as train or test[:10%].
    split: str = "train"
    #: Column with the transcripts.
    text_column: str = "text"


@dataclass(frozen=True)
class PrepareConfig:
    """How a corpus becomes manifests."""

    #: Recipe to check utterances against: its alphabet, replacements, features and subsampling. Without one, any
    #: character is allowed, and utterances may be as short as 10 ms per character.
    recipe: Path | None = None
    #: Longest utterance in seconds; longer ones are rejected.
    max_seconds: PositiveReal = 35.0
    #: Tar shards to write the largest subset into, the others in proportion; their manifests name the bytes. 0: none.
    shards: NotNegative = 0
    #: Rejected utterances above which the exit status is 1. The manifests are written anyway.
    max_rejects: NotNegative = 0
    #: Language (en, de, fr, ...) in which to write out numbers, such as '23 pounds'; numbers.jsonl lists them. 'none':
    #: leave digits as they are.
    numbers: str = "none"
    #: LibriSpeech only: first download and verify the official subset named last in SOURCE, such as data/dev-clean.
    download: bool = False
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
    #: Lexicon (CMUdict's format, from `asr lexicon`) with the words of all transcripts, for model.phone_layer.
    #: Of several pronunciations the first is used.
    lexicon: Annotated[Path | None, MAY_CHANGE] = None
    #: Tar shards whose utterances are shuffled together; one after the other come those of the next.
    shuffle_shards: Positive = 16
    #: Longest recording in seconds; longer ones are an error, as they need too much memory.
    max_seconds: PositiveReal = 35.0
