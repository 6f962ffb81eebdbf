"""The text section of a recipe. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec


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
