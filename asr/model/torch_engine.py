"""The network by PyTorch, for recognition on a GPU."""

from collections.abc import Sequence

import numpy as np
import torch

from asr.errors import ConfigError
from asr.model.acoustic_model import load_network
from asr.model.model_file import ModelFile
from asr.model.padding import pad
from asr.utils.device import choose_device, choose_precision, mixed_precision


class TorchEngine:
    """PyTorch on a device: an `asr.model.engine.Engine` that gains from batches."""

    parallel_calls = 1
    batches = True

    def __init__(self, file: ModelFile, device: str, precision: str):
        if precision == "int8":
            raise ConfigError("--precision int8: is for the CPU; on a GPU there are bfloat16 and float32")
        self._device = choose_device(device)
        self._dtype, _ = choose_precision(precision, self._device)
        self._network = load_network(file).to(self._device)
        self._hop_seconds = file.features.hop_seconds

    @torch.inference_mode()
    def __call__(self, features: Sequence[np.ndarray]) -> list[np.ndarray]:
        padded, lengths = map(torch.from_numpy, pad(features, self._hop_seconds))
        with mixed_precision(self._device, self._dtype):
            log_probabilities, lengths = self._network(padded.to(self._device), lengths.to(self._device))
        rows = zip(log_probabilities.cpu().numpy(), lengths.tolist(), strict=True)
        return [row[:length] for row, length in rows]
