"""What computes the network: ONNX Runtime on the CPU, PyTorch on a GPU. Both give the same words."""

import os
import sys
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np

from asr.errors import ConfigError
from asr.model.model_file import ModelFile, damaged
from asr.utils.cores import core_count
from asr.utils.onnx_session import PortableSession

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "int8", "bfloat16"]


class Engine(Protocol):
    """A network that is ready to compute."""

    #: Calls that can usefully be made at once, from as many threads.
    parallel_calls: int
    #: Whether several utterances in one call take less time than one by one.
    batches: bool

    def __call__(self, features: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Features `(frames, mels)` of some utterances -> log-probabilities `(output frames, tokens + phones)` of
        each, float32, natural logarithms."""
        ...


def make_engine(file: ModelFile, device: Device = "auto", precision: Precision = "auto") -> Engine:
    """The engine for a device. 'auto' takes a GPU if there is one and PyTorch is installed, else the CPU.

    Raises `ConfigError` for a device or precision that is not available.
    """
    if device == "cpu" or (device == "auto" and not has_gpu()):
        return OnnxEngine(file, precision)
    try:
        from asr.model.torch_engine import TorchEngine
    except ImportError as error:
        raise ConfigError(
            f"--device {device}: PyTorch is missing; pip install 'small-asr[gpu]', or use the CPU"
        ) from error
    return TorchEngine(file, device, precision)


class OnnxEngine:
    """ONNX Runtime on the CPU: each call computes in the calling thread, utterance by utterance.

    One utterance at a time: batches of four would take a third less time, but with int8 the rounding of one utterance
    would depend on the others, and a few recordings would not use all cores.
    """

    batches = False

    def __init__(self, file: ModelFile, precision: Precision):
        if precision == "bfloat16":
            raise ConfigError("--precision bfloat16: needs a GPU; on the CPU there are int8 and float32")
        graph = file.graph(precision)
        try:
            self._session = PortableSession(graph)
        except Exception as error:  # ONNX Runtime has a dozen kinds without a common base
            raise damaged(file.path, error) from error
        self.parallel_calls = core_count()

    def __call__(self, features: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._run(utterance) for utterance in features]

    def _run(self, features: np.ndarray) -> np.ndarray:
        lengths = np.array([len(features)], np.int64)
        return self._session.run(None, {"features": features[np.newaxis], "lengths": lengths})[0][0]


def has_gpu() -> bool:
    """Whether PyTorch would find a GPU. PyTorch takes seconds to import, so that it is only asked where the driver of
    a GPU is present."""
    if not (sys.platform == "darwin" or os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/kfd")):
        return False
    try:
        from asr.utils.device import choose_device
    except ImportError:
        return False
    return choose_device("auto").type != "cpu"
