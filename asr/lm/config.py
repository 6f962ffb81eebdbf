"""Options of `asr lm`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import SHOWN, NotNegative, NotNegativeReal


@dataclass(frozen=True)
class LmTextConfig:
    """Text for a language model, prepared in the same way for training, perplexity and recognition."""

    #: Normalizer of the text, the same as in the recogniser's recipe. 'nfc': Unicode NFC and single spaces. 'basic':
    #: also lower case and no punctuation but apostrophes inside words. 'none': text as it is.
    normalizer: Literal["basic", "nfc", "none"] = "basic"
    #: Model characters instead of words, without spaces: for languages written without spaces.
    characters: bool = False

    @property
    def unit(self) -> str:
        """What n-grams are made of."""
        return "characters" if self.characters else "words"


@dataclass(frozen=True)
class LmConfig(LmTextConfig):
    """Training of a language model (interpolated modified Kneser-Ney)."""

    #: Words of the longest n-grams. 3 is usual for recognition; 4 has a few percent less perplexity and needs twice
    #: the memory.
    order: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3
    #: Omit n-grams that occur at most this often: one non-decreasing value per order, the first 0, such as 0 0 1; the
    #: last applies to all further orders. Empty: keep all.
    prune: Annotated[tuple[NotNegative, ...], SHOWN] = ()
    #: Number of words to keep, the most frequent; the others become <unk>. 0: keep all.
    vocab: NotNegative = 0
    #: Omit n-grams worth less than this relative entropy (Stolcke 1998), in nats per word of text, best with prune
    #: 0 0 1: of 40 million words' 3-grams, 3e-8 keeps 54% for 4% more perplexity, 1e-7 23% for 10%. 0: keep all.
    entropy: NotNegativeReal = 0.0
    #: Decimals of the numbers in ARPA files. With 2 instead of 7, the .arpa.xz of 2.2 million n-grams is 34% smaller
    #: at the same perplexity (224.29 and 224.30).
    decimals: Annotated[int, msgspec.Meta(ge=1, le=7)] = 7
