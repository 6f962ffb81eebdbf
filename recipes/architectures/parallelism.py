"""How time and memory grow with the length of an utterance, on one CPU thread.

Recurrent layers process frame after frame, the others all frames at once; the work of attention grows with the square
of the length.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.config import Recipe

BATCH = 8  # utterances computed together, to measure what that gains
BATCH_UTTERANCE_SECONDS = 10.0


@dataclass(frozen=True)
class Speed:
    """Seconds of CPU time and bytes of memory of an untrained model; training makes no difference to them."""

    seconds: list[float]  # of audio in the timed utterances
    forward: list[float]  # seconds of a forward pass
    step: list[float]  # seconds of a training step
    memory: list[float]  # peak bytes of a training step, beyond those of the process before
    batch_gain: float  # speed-up per utterance when several are computed together
    training_rate: float  # seconds of audio per second of training, in batches as large as the recipe's
    recognition_rate: float  # seconds of audio per second of recognition, in the same batches


def measure_speed(
    recipe: Recipe, tokens: int, seconds: Sequence[float], rounds: int, utterance_seconds: float
) -> Speed:
    """Time a family's model on noise."""
    bench = Bench(recipe, tokens, rounds)
    bench.step(1, 1.0)  # libraries allocate memory at first use
    before = resident_bytes()
    forward, step, memory = [], [], []
    for length in sorted(seconds):  # ascending, because the peak is that of the whole process
        forward.append(bench.forward(1, length))
        step.append(bench.step(1, length))
        memory.append(peak_bytes() - before)
    one, together = (bench.forward(batch, BATCH_UTTERANCE_SECONDS) for batch in (1, BATCH))
    batch = max(1, round(recipe.training.batch_seconds / utterance_seconds))
    return Speed(
        sorted(seconds),
        forward,
        step,
        memory,
        BATCH * one / together,
        batch * utterance_seconds / bench.step(batch, utterance_seconds),
        batch * utterance_seconds / bench.forward(batch, utterance_seconds),
    )


class Bench:
    """Times an untrained model on noise of any length."""

    def __init__(self, recipe: Recipe, tokens: int, rounds: int):
        import torch

        from asr.model.acoustic_model import AcousticModel
        from asr.utils.device import choose_precision

        torch.manual_seed(0)
        self.recipe, self.rounds = recipe, rounds
        self.dtype, _ = choose_precision(recipe.training.precision, torch.device("cpu"))
        self.model = AcousticModel(recipe.model, recipe.features.mels, tokens)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-6, fused=True)

    def forward(self, batch: int, seconds: float) -> float:
        """Seconds to recognise `batch` utterances of `seconds` each: the network alone, in float32."""
        import torch

        features, lengths = self._noise(batch, seconds)
        with torch.inference_mode():
            return fastest(lambda: self.model.eval()(features, lengths), self.rounds)

    def step(self, batch: int, seconds: float) -> float:
        """Seconds of a training step in the recipe's precision; the loss is trivial, as CTC costs all the same."""
        import torch

        from asr.training.learner import denormals_flushed

        features, lengths = self._noise(batch, seconds)

        def learn() -> None:
            with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
                output, _ = self.model.train()(features, lengths)
            self.optimizer.zero_grad(set_to_none=True)
            output[..., 0].mean().backward()
            self.optimizer.step()

        with denormals_flushed():
            return fastest(learn, self.rounds)

    def _noise(self, batch: int, seconds: float):
        import torch

        frames = round(seconds / self.recipe.features.hop_seconds)
        return torch.randn(batch, frames, self.recipe.features.mels), torch.full((batch,), frames)


def fastest(work: Callable[[], object], rounds: int) -> float:
    """Seconds of CPU time of the fastest of several rounds, after one to warm up: other programs can only slow it
    down."""
    times = []
    for _ in range(1 + rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times[1:])


def growth(seconds: Sequence[float], cost: Sequence[float]) -> float:
    """The exponent p of cost = a * seconds ** p: 1 is linear, 2 quadratic.

    By least squares of the logarithms over the longer half of the lengths; a constant cost dominates the shorter ones.
    """
    half = min(len(seconds) // 2, len(seconds) - 2)
    slope, _ = np.polyfit(np.log(seconds[half:]), np.log(cost[half:]), 1)
    return float(slope)


def resident_bytes() -> float:
    """Resident memory of this process."""
    return _status("VmRSS")


def peak_bytes() -> float:
    """Peak resident memory of this process."""
    return _status("VmHWM")


def _status(name: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return math.nan  # only Linux has the file
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith(name))
