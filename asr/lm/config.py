"""Options of `asr lm`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import SHOWN, NotNegative, NotNegativeReal


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
    prune: Annotated[tuple[NotNegative, ...], SHOWN] = ()
    #: Words to keep, the most frequent ones; all others become <unk>. 0 keeps all.
    vocab: NotNegative = 0
    #: Nats for each word of the text. Leave out n-grams whose loss costs less relative entropy than this (Stolcke
    #: 1998), best after prune 0 0 1: on 40 million words, 3e-8 then leaves 54% of a 3-gram model for 4% more
    #: perplexity, 1e-7 leaves 23% for 10% more. 0 keeps all.
    entropy: NotNegativeReal = 0.0
    #: Decimals of the numbers in ARPA files. 2 make the .arpa.xz of 2.2 million n-grams 34% smaller than 7 do, and its
    #: perplexity is the same (224.29 and 224.30).
    decimals: Annotated[int, msgspec.Meta(ge=1, le=7)] = 7
