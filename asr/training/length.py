"""Training length and batch size by the amount of speech, where the recipe does not set them.

CTC takes about a thousand updates before it outputs anything but blanks, so the number of updates has a minimum, from
which the number of epochs follows.
"""

import dataclasses
import math

from asr.training.config import TrainingConfig

FINE_TUNING_RATE = 0.3  # of the learning rate, for layers that come from a base
DECAYS = ((0.3, 0.7), (1.0, 0.85))  # hours below which this rate decays by so much per layer

BATCHES = 64  # per epoch, as long as batches stay within the limits
LEAST_BATCH_SECONDS, MOST_BATCH_SECONDS = 4.0, 120.0
LEAST_EPOCHS, MOST_EPOCHS = 30, 200
LEAST_PATIENCE = 10  # epochs


def with_length(config: TrainingConfig, seconds: float, fine_tuning: bool = False) -> TrainingConfig:
    """The config with `batch_seconds`, `epochs` and `patience` for `seconds` of training speech.

    Fine-tuning takes a third of the updates.
    """
    batch_seconds = config.batch_seconds or min(max(seconds / BATCHES, LEAST_BATCH_SECONDS), MOST_BATCH_SECONDS)
    batches = max(1, round(seconds / batch_seconds))
    share = 1 / 3 if fine_tuning else 1
    least, updates = round(share * LEAST_EPOCHS), share * config.updates
    epochs = config.epochs or min(max(math.ceil(updates / batches), least), MOST_EPOCHS)
    patience = config.patience or max(LEAST_PATIENCE, epochs // 3)
    return dataclasses.replace(config, batch_seconds=batch_seconds, epochs=epochs, patience=patience)


def learning_rate_shares(hours: float, layers: int, new_output: bool) -> list[float]:
    """Shares of the learning rate when a base is fine-tuned, by depth: the output layer, the encoder's layers from the
    last to the first, the subsampling (Howard & Ruder 2018).

    The less data, the less the lower layers move. A new output layer has the whole rate.
    """
    decay = next((decay for limit, decay in DECAYS if hours < limit), 1.0)
    shares = [FINE_TUNING_RATE * decay**depth for depth in range(layers + 2)]
    return [1.0, *shares[1:]] if new_output else shares
