"""The training section of a recipe. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import (
    CHOSEN_AT_START,
    MAY_CHANGE,
    SHOWN,
    NotNegative,
    NotNegativeReal,
    Positive,
    PositiveReal,
    Share,
)


@dataclass(frozen=True)
class TrainingConfig:
    """Length, optimizer and execution of training."""

    #: Passes over the training data. None: as many as `updates` needs, 30 to 200.
    epochs: Annotated[Positive | None, CHOSEN_AT_START] = None
    #: Seconds of audio per update, over all processes and with padding. None: 1/64 of the data, 4 to 120.
    batch_seconds: Annotated[PositiveReal | None, CHOSEN_AT_START] = None
    #: Minimum number of updates of the weights if `epochs` is None.
    updates: Positive = 2500
    #: Number of parts in which each batch is computed, for less memory and the same result.
    accumulate: Annotated[Positive, MAY_CHANGE] = 1
    #: Model file to start from. Weights are copied where name and shape agree, and the output layer token by token.
    warm_start: Annotated[Path | None, SHOWN] = None
    #: Peak learning rate of AdamW.
    learning_rate: PositiveReal = 1e-3
    #: Share of the steps in which the learning rate rises from zero.
    warmup_share: Share = 0.1
    #: Learning rate after the warm-up: to zero along a half cosine or a line, or constant.
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    #: Decoupled weight decay of AdamW, on matrices only.
    weight_decay: NotNegativeReal = 1e-2
    #: Weight of the phones in the loss; the tokens have the rest. Only with model.phone_layer.
    phone_weight: Share = 0.5
    #: Weight of CTC-CRF in the loss of the phones; CTC has the rest. It trains sequences against a phone trigram of the
    #: transcripts (Xiang and Ou 2019). Only with model.phone_layer; use 0.9 for a model already trained with CTC.
    crf_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    #: Gradients with a larger norm are scaled down to this norm.
    clip_norm: PositiveReal = 5.0
    #: Decay per step of a moving average of the weights, such as 0.999, which is evaluated and kept. 0: no average.
    ema: Share = 0.0
    #: Epochs without a better dev WER (PER with phones) after which training stops. None: a third of all epochs, at
    #: least 10.
    patience: Annotated[Positive | None, CHOSEN_AT_START] = None
    #: Number of epochs whose weights are averaged for the final model, those with the lowest dev WER (PER with phones,
    #: CER in a script without spaces), unless the best alone is better.
    average: Positive = 3
    #: Decoder to tune on dev at the end and keep beside the model as its default. 'words': only the words of the
    #: transcripts. 'sentences': also an n-gram model of them, for sentences that recur. 'base': the base's decoder.
    decoder: Annotated[Literal["none", "words", "sentences", "base"], MAY_CHANGE] = "none"
    #: Arithmetic of the network. 'auto': bfloat16 where the processor or GPU is faster with it.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    #: Device to train on. 'auto': a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: Folder for the features, which runs may share. Without it, in the run folder, and deleted at the end.
    cache: Annotated[Path | None, SHOWN, MAY_CHANGE] = None
    #: Gigabytes of features to keep (0.06 per hour of audio and copy); the rest is recomputed in each epoch.
    cache_gigabytes: Annotated[NotNegativeReal, MAY_CHANGE] = 20.0
    #: Worker processes that prepare batches; not used on a CPU if all features are kept.
    workers: Annotated[NotNegative, MAY_CHANGE] = 2
    #: Minutes between checkpoints inside an epoch. 0: after every step.
    checkpoint_minutes: Annotated[NotNegativeReal, MAY_CHANGE] = 5.0
    #: Seed of all that is random: weights, order, masks, dropout.
    seed: NotNegative = 0
