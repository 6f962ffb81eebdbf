"""Options of `asr evaluate`, `score`, `compare` and `tune`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from asr.decoding.config import DecoderConfig
from asr.recognition.config import RunConfig
from asr.utils.config_io import FLAT, NotNegative, NotNegativeReal, Positive, PositiveReal

TextFormat = Literal["auto", "jsonl", "ctm", "kaldi", "lines"]


@dataclass(frozen=True)
class EvaluateConfig:
    """Measuring on recordings with known transcripts."""

    #: Utterances whose spectrogram and posteriors the HTML report shows: of the worst ones, and of the first.
    pictures: NotNegative = 4
    run: Annotated[RunConfig, FLAT] = field(default_factory=RunConfig)
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)


@dataclass(frozen=True)
class ScoreConfig:
    """Transcripts of any recogniser against references."""

    #: Applied to both sides before they are compared. 'basic': lower case, and no punctuation but apostrophes inside
    #: words. 'nfc': Unicode NFC and single spaces, nothing else.
    normalizer: Literal["basic", "nfc"] = "basic"
    #: The references have NIST's markup: '{ um / uh / @ }' for words that may be said in several ways or not at all,
    #: '(well)' for one that may be missing. What is nearest to the hypothesis counts.
    markup: bool = False
    #: What the references are. 'jsonl': JSON Lines with id and text, such as manifests. 'ctm': NIST's word times.
    #: 'kaldi': the name of an utterance and its words on each line. 'lines': the words alone. 'auto': by the name:
    #: .jsonl, .ctm, .txt (lines), without a suffix (kaldi).
    reference_format: TextFormat = "auto"
    #: What the hypotheses are, likewise; of JSON Lines, 'pred_text' comes before 'text'.
    hypothesis_format: TextFormat = "auto"


@dataclass(frozen=True)
class CompareConfig:
    """Two systems on one test set."""

    #: Utterances shown of those that B has better, and of those that it has worse.
    examples: NotNegative = 3


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
    run: Annotated[RunConfig, FLAT] = field(default_factory=RunConfig)
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)
