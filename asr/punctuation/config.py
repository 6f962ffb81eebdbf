"""Options of writing, and of `asr punctuate`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from asr.utils.config_io import MAY_CHANGE, SHOWN, NotNegative, NotNegativeReal, Positive, PositiveReal, Share, Size


@dataclass(frozen=True)
class WritingConfig:
    """How recognised words are written."""

    #: Write punctuation and capital letters, if there is a punctuation.safetensors beside the model.
    punctuation: bool = True
    #: 'digits': write English numbers in digits, such as 23, 21st, 1984, 7:30 and $5.20; below ten they stay words.
    numbers: Literal["words", "digits"] = "words"


#: Words as they are recognised.
PLAIN = WritingConfig(punctuation=False)


@dataclass(frozen=True)
class PunctuationConfig:
    """Network and training of a punctuation model."""

    #: Texts to measure on after each epoch. Without them, the last 2% of the training text are kept for it.
    dev: Annotated[tuple[Path, ...], SHOWN] = ()
    #: Punctuation model to continue training. Its --width, --layers, --embedding and --buckets apply.
    base: Annotated[Path | None, SHOWN] = None
    #: Width of the LSTM, per direction.
    width: Size = 192
    #: Bidirectional LSTM layers.
    layers: Positive = 2
    #: Values per word at the network's input.
    embedding: Size = 64
    #: Rows of the embedding table, which words and their first and last letters are hashed into.
    buckets: Size = 16384
    #: Share of values that dropout sets to zero in training.
    dropout: Share = 0.1
    #: Largest number of words of a training example.
    window: Positive = 64
    #: Words per update of the weights.
    batch_words: Positive = 4096
    #: Passes over the training text; the last may be a part of one.
    epochs: PositiveReal = 2.0
    #: Minutes of training, in place of --epochs; the learning rate reaches zero at their end. 0: no limit.
    minutes: Annotated[NotNegativeReal, MAY_CHANGE] = 0.0
    #: Peak learning rate of AdamW.
    learning_rate: PositiveReal = 6e-3
    #: Share of the steps in which the learning rate rises from zero.
    warmup_share: Share = 0.02
    #: Learning rate after the warm-up: to zero along a half cosine or a line, or constant.
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    #: Decoupled weight decay of AdamW, on matrices only.
    weight_decay: NotNegativeReal = 1e-2
    #: Largest gradient norm; larger gradients are scaled down to it.
    clip_norm: PositiveReal = 5.0
    #: Decay per step of the moving average of the weights, which is measured and kept. 0: no average.
    ema: Share = 0.999
    #: Arithmetic of the network. 'auto': bfloat16 where the processor or GPU is faster with it.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    #: Device to train on. 'auto': a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: Minutes between checkpoints inside an epoch. 0: after every step.
    checkpoint_minutes: Annotated[NotNegativeReal, MAY_CHANGE] = 5.0
    #: Seed of everything random: weights, order, dropout.
    seed: NotNegative = 0
