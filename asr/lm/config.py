"""Options of `asr lm`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from asr.errors import ConfigError
from asr.utils.config_io import (
    FLAT,
    MAY_CHANGE,
    SHOWN,
    NotNegative,
    NotNegativeReal,
    Positive,
    PositiveReal,
    Share,
    Size,
)

Kind = Literal["lstm", "gru", "rnn"]
Normalizer = Literal["basic", "nfc", "none"]
NGRAM_OPTIONS = ("order", "prune", "entropy", "decimals")


@dataclass(frozen=True)
class LmTextConfig:
    """How text is prepared for a language model: the same for training, perplexity and recognition."""

    #: Normalizer of the text; use that of the recogniser's recipe. 'nfc': Unicode NFC and single spaces. 'basic': also
    #: lower case, and no punctuation except apostrophes inside words. 'none': leave the text as it is.
    normalizer: Normalizer = "basic"
    #: Model characters instead of words, for languages written without spaces.
    characters: bool = False

    @property
    def unit(self) -> str:
        """What n-grams are made of."""
        return "characters" if self.characters else "words"


@dataclass(frozen=True)
class LmConfig(LmTextConfig):
    """Training of a language model (interpolated modified Kneser-Ney)."""

    #: Length of the longest n-grams. 3 is usual for recognition; 4 lowers perplexity by a few percent and takes twice
    #: the memory.
    order: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3
    #: Omit n-grams with at most this count: one non-decreasing value per order, beginning with 0, such as 0 0 1; the
    #: last applies to all higher orders. Empty: keep all.
    prune: Annotated[tuple[NotNegative, ...], SHOWN] = ()
    #: Vocabulary size: the most frequent words are kept, the others become <unk>. 0: all words, or 20,000 for a
    #: recurrent network.
    vocab: NotNegative = 0
    #: Omit n-grams worth less than this relative entropy (Stolcke 1998), in nats per word of text; best combined with
    #: pruning by counts (0 0 1). Of the 3-grams of 40 million words, 3e-8 keeps 54% for 4% more perplexity, and 1e-7
    #: keeps 23% for 10% more. 0: keep all.
    entropy: NotNegativeReal = 0.0
    #: Decimals of the numbers in ARPA files. With 2 instead of 7, an .arpa.xz of 2.2 million n-grams is 34% smaller at
    #: the same perplexity (224.29 and 224.30).
    decimals: Annotated[int, msgspec.Meta(ge=1, le=7)] = 7


@dataclass(frozen=True)
class RecurrentConfig:
    """A recurrent language model and its training. Not used for n-grams."""

    #: Recurrent model to continue training. Its words, --kind, --units, --embedding, --layers and --normalizer apply.
    base: Annotated[Path | None, SHOWN] = None
    #: Recurrent units per layer.
    units: Size = 256
    #: Size of the word embeddings, which input and output share. 0: that of --units.
    embedding: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    #: Recurrent layers.
    layers: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    #: Dropout of word embeddings and outputs in training.
    dropout: Share = 0.1
    #: Updates of the weights. May differ when a run is resumed.
    updates: Annotated[Positive, MAY_CHANGE] = 20_000
    #: Minutes of training, in place of --updates; the learning rate reaches zero at their end. 0: no limit.
    minutes: Annotated[NotNegativeReal, MAY_CHANGE] = 0.0
    #: Batch size: places in the text that are read in parallel, each with its own state.
    lanes: Positive = 64
    #: Words per lane and update. Gradients reach back to the first of them (truncated backpropagation); the state is
    #: carried on.
    span: Positive = 32
    #: Random words that an update compares with the correct one (sampled softmax). 0: all words.
    samples: NotNegative = 2000
    #: Peak learning rate of AdamW. It rises over a twentieth of the updates and falls to zero along a half cosine.
    learning_rate: PositiveReal = 3e-3
    #: Text whose perplexity decides which weights are kept. None: 20 held-out parts of TEXT, 0.5% of it but at most
    #: fifty thousand words.
    dev: Annotated[Path | None, SHOWN] = None
    #: Updates between measurements on the dev text.
    measure: Annotated[Positive, MAY_CHANGE] = 1000
    #: Minutes between checkpoints.
    checkpoint_minutes: Annotated[NotNegativeReal, MAY_CHANGE] = 5.0
    #: Arithmetic of the network. 'auto': bfloat16 where the processor or GPU is faster with it.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    #: Device to train on. 'auto': a GPU if there is one.
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], MAY_CHANGE] = "auto"
    #: Seed of weights, samples and dropout.
    seed: NotNegative = 0


@dataclass(frozen=True)
class LmTrainConfig(LmConfig):
    """Training of a language model of any kind."""

    #: 'ngram': counts of word sequences. 'lstm', 'gru', 'rnn': a recurrent network, for rescoring.
    kind: Literal["ngram", "lstm", "gru", "rnn"] = "ngram"
    recurrent: Annotated[RecurrentConfig, FLAT] = field(default_factory=RecurrentConfig)


def check_kind(config: LmTrainConfig) -> None:
    """Raise `ConfigError` naming an option that does not apply to the kind of model."""
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

    #: Carry a recurrent model's state from sentence to sentence, for text in its original order.
    carry: bool = False
    #: Words of context for a recurrent model, across sentences. 0: no limit.
    context: NotNegative = 0


@dataclass(frozen=True)
class SampleConfig:
    """Text from a language model."""

    #: Words to begin the text with.
    prompt: Annotated[str, SHOWN] = ""
    #: Divisor of the log-probabilities: below 1 favours likely words, above 1 rare ones.
    temperature: PositiveReal = 1.0
    #: Draw from the most likely words whose probabilities add up to this (nucleus sampling, Holtzman et al. 2020).
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    #: Words to write.
    length: Positive = 50
    #: Seed of the draws.
    seed: NotNegative = 0
