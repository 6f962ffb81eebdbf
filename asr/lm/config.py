"""Options of `asr lm`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from asr.errors import ConfigError
from asr.utils.config_io import FLAT, SHOWN, NotNegative, NotNegativeReal, Positive, PositiveReal, Share, Size

Kind = Literal["lstm", "gru", "rnn"]
NGRAM_OPTIONS = ("order", "prune", "entropy", "decimals")


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
    #: Number of words to keep, the most frequent; the others become <unk>. 0: keep all, or 20,000 with a recurrent
    #: network.
    vocab: NotNegative = 0
    #: Omit n-grams worth less than this relative entropy (Stolcke 1998), in nats per word of text, best with prune
    #: 0 0 1: of 40 million words' 3-grams, 3e-8 keeps 54% for 4% more perplexity, 1e-7 23% for 10%. 0: keep all.
    entropy: NotNegativeReal = 0.0
    #: Decimals of the numbers in ARPA files. With 2 instead of 7, the .arpa.xz of 2.2 million n-grams is 34% smaller
    #: at the same perplexity (224.29 and 224.30).
    decimals: Annotated[int, msgspec.Meta(ge=1, le=7)] = 7


@dataclass(frozen=True)
class RecurrentConfig:
    """A recurrent network as language model, and its training. Not used for n-grams."""

    #: Recurrent units per layer, and values per word vector: input and output share the vectors.
    units: Size = 256
    #: Recurrent layers.
    layers: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    #: Share of word vectors' and outputs' values that are set to zero in training.
    dropout: Share = 0.1
    #: Updates of the weights. A run that is resumed may have another number.
    updates: Positive = 20_000
    #: Places in the text that are read side by side, each with a state of its own.
    lanes: Positive = 64
    #: Words per lane and update; gradients reach back to the first of them, the state further.
    span: Positive = 32
    #: Random words, besides the right one, that an update compares (sampled softmax). 0: all words.
    samples: NotNegative = 2000
    #: Peak learning rate of AdamW; it rises for a twentieth of the updates and falls to zero along a half cosine.
    learning_rate: PositiveReal = 3e-3
    #: Text whose perplexity decides which weights are kept. None: 20 parts of TEXT, 0.5% of it but at most 50,000
    #: words, which are left out of training.
    dev: Annotated[Path | None, SHOWN] = None
    #: Updates between measurements on it.
    measure: Positive = 1000
    #: Minutes between checkpoints.
    checkpoint_minutes: NotNegativeReal = 5.0
    #: Arithmetic of the network. 'auto': bfloat16 where the processor or GPU is faster with it.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    #: Device to train on. 'auto': a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: Seed of weights, samples and dropout.
    seed: NotNegative = 0


@dataclass(frozen=True)
class LmTrainConfig(LmConfig):
    """Training of a language model of either kind."""

    #: 'ngram': counts of word sequences. 'lstm', 'gru', 'rnn': a recurrent network, for rescoring.
    kind: Literal["ngram", "lstm", "gru", "rnn"] = "ngram"
    recurrent: Annotated[RecurrentConfig, FLAT] = field(default_factory=RecurrentConfig)


def check_kind(config: LmTrainConfig) -> None:
    """Raise `ConfigError` naming an option that the kind of model has no use for."""
    if config.kind == "ngram":
        changed = _changed(config.recurrent, RecurrentConfig())
    else:
        changed = [name for name in _changed(config, LmTrainConfig()) if name in NGRAM_OPTIONS]
    if changed:
        raise ConfigError(f"--{changed[0]} has no use with --kind {config.kind}: leave out one of them")


def _changed(config: Any, default: Any) -> list[str]:
    return [each.name for each in fields(config) if getattr(config, each.name) != getattr(default, each.name)]


@dataclass(frozen=True)
class PerplexityConfig(LmTextConfig):
    """Perplexity of a text."""

    #: Keep the state of a recurrent model from sentence to sentence, for text in its order.
    carry: bool = False
    #: Words that a recurrent model may look back on, across sentences. 0: any number.
    context: NotNegative = 0


@dataclass(frozen=True)
class SampleConfig:
    """Text from a language model."""

    #: Words that the text begins with.
    prompt: str = ""
    #: Divides log-probabilities: below 1 likelier words, above 1 rarer ones.
    temperature: PositiveReal = 1.0
    #: Draw among the likeliest words that have this probability together (Holtzman et al. 2020).
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    #: Words to write.
    length: Positive = 50
    #: Seed of the draws.
    seed: NotNegative = 0
