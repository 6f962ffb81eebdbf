"""The training section of a recipe. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import CHOSEN_AT_START, MAY_CHANGE, NotNegative, NotNegativeReal, Positive, PositiveReal, Share


@dataclass(frozen=True)
class TrainingConfig:
    """Length, optimizer and execution of training."""

    #: Passes over the training data. None: as many as `updates` takes, from 30 to 200.
    epochs: Annotated[Positive | None, CHOSEN_AT_START] = None
    #: Seconds of audio per update, padding included, over all processes. None: 1/64 of the data, from 4 to 120.
    batch_seconds: Annotated[PositiveReal | None, CHOSEN_AT_START] = None
    #: Fewest updates of the weights when `epochs` is None.
    updates: Positive = 2500
    #: Parts that each batch is computed in: less memory for the same result.
    accumulate: Annotated[Positive, MAY_CHANGE] = 1
    #: Model file to start from: its weights are copied where name and shape agree, those of the output layer by token.
    warm_start: Path | None = None
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
    #: Weight of CTC-CRF (sequence training against a phone trigram of the transcripts, Xiang & Ou 2019) in the phones'
    #: loss; CTC has the rest. Only with model.phone_layer; 0.9 suits a model that CTC has trained.
    crf_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    #: Largest gradient norm; larger gradients are scaled down to it.
    clip_norm: PositiveReal = 5.0
    #: Decay per step of the moving average of the weights, such as 0.999, which is measured and kept. 0: no average.
    ema: Share = 0.0
    #: Epochs without a better dev WER after which training stops. None: a third of all, at least 10.
    patience: Annotated[Positive | None, CHOSEN_AT_START] = None
    #: Epochs with the lowest dev WER (CER in a script without spaces) whose weights are averaged for the final model,
    #: unless the best alone is better.
    average: Positive = 3
    #: Decoder that is tuned on dev at the end and kept beside the model as its default. 'words': only words of the
    #: transcripts. 'sentences': also an n-gram of them, for sentences that recur. 'base': that of the base.
    decoder: Annotated[Literal["none", "words", "sentences", "base"], MAY_CHANGE] = "none"
    #: Arithmetic of the network. 'auto': bfloat16 where the processor or GPU is faster with it.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    #: Device to train on. 'auto': a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: Folder for the features, which runs may share. None: in the run folder, deleted at the end.
    cache: Annotated[Path | None, MAY_CHANGE] = None
    #: Gigabytes of features to keep (0.06 per hour of audio and copy); more are recomputed in each epoch.
    cache_gigabytes: Annotated[NotNegativeReal, MAY_CHANGE] = 20.0
    #: Processes that prepare batches; not used on a CPU when the features are kept.
    workers: Annotated[NotNegative, MAY_CHANGE] = 2
    #: Minutes between checkpoints inside an epoch. 0: after every step.
    checkpoint_minutes: Annotated[NotNegativeReal, MAY_CHANGE] = 5.0
    #: Seed of everything random: weights, order, masks, dropout.
    seed: NotNegative = 0
