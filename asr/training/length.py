"""Training length and batch size from the amount of speech, where the recipe leaves them open.

CTC takes about a thousand updates before it outputs anything but blanks, so what must not fall short is the number of
updates; passes over the data follow from it.
"""

import dataclasses
import math

from asr.training.config import TrainingConfig

DECAYS = ((0.3, 0.7), (1.0, 0.85))  # hours below which the learning rate of a base decays so much per layer

BATCHES = 64  # per epoch, as long as batches stay within the limits
LEAST_BATCH_SECONDS, MOST_BATCH_SECONDS = 4.0, 120.0
LEAST_EPOCHS, MOST_EPOCHS = 30, 200
LEAST_PATIENCE = 10  # epochs


def with_length(config: TrainingConfig, seconds: float, fine_tuning: bool = False) -> TrainingConfig:
    """The config with `batch_seconds`, `epochs` and `patience` for so many seconds of training speech.

    Fine-tuning takes a third of the updates.
    """
    batch_seconds = config.batch_seconds or min(max(seconds / BATCHES, LEAST_BATCH_SECONDS), MOST_BATCH_SECONDS)
    batches = max(1, round(seconds / batch_seconds))
    share = 1 / 3 if fine_tuning else 1
    least, updates = round(share * LEAST_EPOCHS), share * config.updates
    epochs = config.epochs or min(max(math.ceil(updates / batches), least), MOST_EPOCHS)
    patience = config.patience or max(LEAST_PATIENCE, epochs // 3)
    return dataclasses.replace(config, batch_seconds=batch_seconds, epochs=epochs, patience=patience)


def rate_decay(hours: float) -> float:
    """How much slower each layer of a base is trained than the one above it: the less data, the fewer layers move."""
    return next((decay for limit, decay in DECAYS if hours < limit), 1.0)
