"""Options of `asr evaluate`, `score`, `compare` and `tune`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asr.decoding.config import DecoderConfig
from asr.recognition.config import RunConfig
from asr.utils.config_io import FLAT, SHOWN, NotNegative, NotNegativeReal, Positive, PositiveReal
from asr.utils.ray_cluster import EngineConfig

TextFormat = Literal["auto", "jsonl", "ctm", "stm", "trn", "kaldi", "lines"]
Alignment = Literal["levenshtein", "sclite"]


@dataclass(frozen=True)
class EvaluateConfig:
    """Word error rate on recordings with reference transcripts."""

    #: Cross-validation: train one model per fold in the output folder and evaluate it on that fold; no 'speaker', or no
    #: utterance, is in both training and test. 'none': evaluate a single model.
    folds: Literal["none", "speaker", "utterance"] = "none"
    #: Number of folds, at most the number of speakers or utterances.
    fold_count: Annotated[int, msgspec.Meta(ge=2)] = 5
    #: Learning curve: train models on a quarter, half and all of the recipe's training data in the output folder,
    #: evaluate each on MANIFEST, and predict the WER with twice the data.
    learning_curve: bool = False
    #: Recipe for --learning_curve, or for the models of --folds, which ignore its data and output. Without it, folds
    #: use what `asr init` chooses.
    recipe: Annotated[Path | None, SHOWN] = None
    #: Utterances whose spectrogram and posteriors the HTML report shows: half of them the worst, half the first.
    pictures: NotNegative = 4
    #: Costs of a substitution, a deletion and an insertion when words are aligned: 'levenshtein' 1, 1, 1 (the fewest
    #: errors); 'sclite' 4, 3, 3.
    alignment: Alignment = "levenshtein"
    where: Annotated[EngineConfig, FLAT] = field(default_factory=EngineConfig)
    run: Annotated[RunConfig, FLAT] = field(default_factory=RunConfig)
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)


@dataclass(frozen=True)
class ScoreConfig:
    """Word error rate of any recogniser's transcripts."""

    #: Normalisation of both sides. 'basic': lower case, and no punctuation except apostrophes inside words. 'nfc': only
    #: Unicode NFC and single spaces.
    normalizer: Literal["basic", "nfc"] = "basic"
    #: Costs of a substitution, a deletion and an insertion when words are aligned: 'levenshtein' 1, 1, 1 (the fewest
    #: errors); 'sclite' 4, 3, 3.
    alignment: Alignment = "levenshtein"
    #: Read NIST's markup in the references: '{ um / uh / @ }' for alternatives, of which the nearest to the hypothesis
    #: counts, and '(well)' for an optional word.
    markup: bool = False
    #: Format of the references: JSON Lines, NIST's CTM, STM or TRN, Kaldi's 'ID words', or plain lines. 'auto': by
    #: suffix, with .txt for lines and no suffix for Kaldi.
    reference_format: TextFormat = "auto"
    #: Format of the hypotheses, likewise. In JSON Lines, 'pred_text' is preferred to 'text'.
    hypothesis_format: TextFormat = "auto"


@dataclass(frozen=True)
class CompareConfig:
    """Two systems on one test set."""

    #: Number of utterances to show in which B is better, and of those in which it is worse.
    examples: NotNegative = 3


@dataclass(frozen=True)
class TuneConfig:
    """Decoder weights from a dev set."""

    #: Largest language model weight to try.
    most_lm_weight: PositiveReal = 2.0
    #: Largest word bonus to try, in nats; the smallest is its negative.
    most_word_bonus: NotNegativeReal = 3.0
    #: Values of each weight in the first grid. Later grids are 3 by 3 around the best point, with half the spacing.
    grid: Annotated[int, msgspec.Meta(ge=2)] = 5
    #: Number of later grids.
    rounds: NotNegative = 3
    #: Beam widths to try with the best weights. The smallest within 0.1 points of the best WER is chosen.
    beams: tuple[Positive, ...] = (8, 16, 32, 64, 128, 256)
    run: Annotated[RunConfig, FLAT] = field(default_factory=RunConfig)
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)
