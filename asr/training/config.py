"""The training section of a recipe. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import NotNegative, NotNegativeReal, Positive, PositiveReal, Share


@dataclass(frozen=True)
class TrainingConfig:
    """How the model learns."""

    #: Passes over the training data; fewer when early stopping ends the run.
    epochs: Positive = 30
    #: Seconds of audio for each step, padding included, over all processes of the run. More is faster for each second,
    #: less makes more steps.
    batch_seconds: PositiveReal = 120.0
    #: Parts that each batch is learned in, one after the other, before the weights change: less memory for the same
    #: result.
    accumulate: Positive = 1
    #: Model file whose weights to begin with, where name and shape agree; those of the output layer go by token, so
    #: that its alphabet may be another one.
    warm_start: Path | None = None
    #: Peak learning rate of AdamW.
    learning_rate: PositiveReal = 1e-3
    #: Share of all steps in which the learning rate climbs from zero.
    warmup_share: Share = 0.1
    #: The learning rate after that: down to zero along a half cosine or a line, or constant, for runs that patience
    #: ends.
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    #: AdamW's decoupled weight decay, on matrices only.
    weight_decay: NotNegativeReal = 1e-2
    #: Share of the phones in the loss, the tokens having the rest; only with model.phone_layer.
    phone_weight: Share = 0.5
    #: Share of CTC-CRF (sequence training against a phone trigram of the training transcripts, Xiang & Ou 2019) in the
    #: phones' loss, CTC having the rest; only with model.phone_layer. 0.9 suits a model that CTC has trained.
    crf_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    #: Largest gradient norm; longer gradients are scaled down to it. The norm before clipping is logged.
    clip_norm: PositiveReal = 5.0
    #: Decay of the moving average of the weights at each step, such as 0.999; the average is what is measured on dev
    #: and kept. 0: the weights themselves.
    ema: Share = 0.0
    #: Epochs without a better dev WER after which training stops.
    patience: Positive = 10
    #: The final model is the average of this many best checkpoints by dev WER (or the best one if that is better
    #: on dev).
    average: Positive = 3
    #: Arithmetic of the network. 'auto' takes bfloat16 where the processor or GPU gains from it and says why.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    #: Where to compute. 'auto' takes a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: Folder for features, made once and read in each epoch; several runs may share it. None: in the run's folder,
    #: until the run ends.
    cache: Path | None = None
    #: Gigabytes. Features that take more, 0.06 for an hour of audio and each copy, are made anew in each epoch.
    cache_gigabytes: NotNegativeReal = 20.0
    #: Processes that make batches ahead of the training loop; none are needed on a CPU when the features are kept.
    workers: NotNegative = 2
    #: Minutes between checkpoints inside an epoch: the most that a crash can lose. 0 saves after every step.
    checkpoint_minutes: NotNegativeReal = 5.0
    #: Everything random follows from it: weights, order, masks, dropout.
    seed: NotNegative = 0
