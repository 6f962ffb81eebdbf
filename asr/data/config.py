"""Options of `asr prepare` and the data section of a recipe. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import NotNegative, Positive, PositiveReal, Share


@dataclass(frozen=True)
class SyntheticConfig:
    """The embedded corpus: sentences spoken by a synthesiser, for trying the program, for its tests and to begin
    training on, not for claims about human speech."""

    #: Synthesiser. 'espeak': espeak-ng, formant synthesis, fast. 'kokoro': Kokoro-82M, neural synthesis with blends of
    #: 28 voices, 1.7 times real time per core; needs the extra 'synthetic' and its parts in synthetic.kokoro.
    engine: Literal["espeak", "kokoro"] = "espeak"
    #: Folder with Kokoro's model.onnx, vocab.json and voices (`make -C recipes/english kokoro` fetches them).
    kokoro: Path = Path("data/english/kokoro")
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
    #: Chooses lines, voices, rooms and noise. The same seed gives the same corpus, sample for sample.
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
