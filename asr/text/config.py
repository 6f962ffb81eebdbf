"""The text section of a recipe. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import SHOWN


@dataclass(frozen=True)
class TextConfig:
    """The model's output: how transcripts are normalised and divided into tokens."""

    #: Normalisation of transcripts before training and scoring. 'basic': lower case, and no punctuation except
    #: apostrophes inside words. 'nfc': only Unicode NFC and single spaces.
    normalizer: Literal["nfc", "basic"] = "basic"
    #: Tokens: single characters, which suit small corpora, or byte-pair units.
    units: Literal["characters", "bpe"] = "characters"
    #: Characters that the model may output, including the space. Empty: those of the training transcripts.
    alphabet: Annotated[str, SHOWN] = ""
    #: Number of byte-pair units, including single characters; for units 'bpe' only. About 500 for 10 h of speech.
    bpe_size: Annotated[int, msgspec.Meta(ge=2)] = 256
    #: Replacements after normalisation, such as "é" by "e" or "&" by " and ", for characters outside the alphabet,
    #: which would be an error.
    replace: Annotated[dict[str, str], SHOWN] = field(default_factory=dict)
