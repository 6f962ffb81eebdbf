"""Speed of a BiLSTM on a CPU: the same three layers implemented in several variants, forward and backward, on noise.

    python benchmarks/lstm.py

prints Markdown tables. Each round measures all variants, in one process with one thread; seconds are processor time,
and the median over rounds is reported.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import tyro
from report import processor, table
from terminal import log
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from trainers import prepare

from asr.model.encoders import BiLstmLayer, Span, reverse

FRAMES_PER_SECOND = 25  # of the LSTM's input: what subsampling by 4 leaves
INPUTS, WIDTH, LAYERS = 640, 256, 3  # of the default network


@dataclass(frozen=True)
class Options:
    """Seconds of audio per second in which three BiLSTM layers are trained."""

    #: Utterances per batch.
    rows: int = 10
    #: Seconds of each utterance.
    seconds: float = 12.0
    #: Measurements of each speed.
    rounds: int = 5
    #: Also one thread, two threads and two processes in wall-clock time, which needs an idle machine.
    processes: bool = False


class Layers(nn.Module):
    """One class of layer, as our encoder stacks them."""

    def __init__(self, kind: type[BiLstmLayer] = BiLstmLayer):
        super().__init__()
        sizes = [INPUTS, *[2 * WIDTH] * (LAYERS - 1)]
        self.layers = nn.ModuleList(kind(size, WIDTH, 0.0) for size in sizes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """`(batch, frames, inputs)` and `(batch,)` -> `(batch, frames, 2 * width)`."""
        span = Span(lengths, x.shape[1])
        for layer in self.layers:
            x = layer(x, span)
        return x


class Whole(nn.LSTM):
    """PyTorch's own stack. Its backward direction begins in the padding, so results depend on padding."""

    def __init__(self, **options):
        super().__init__(INPUTS, WIDTH, LAYERS, bidirectional=True, **options)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """As `Layers`."""
        return super().forward(x if self.batch_first else x.transpose(0, 1))[0]


class Packed(Whole):
    """The same without the padding."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """As `Layers`."""
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(nn.LSTM.forward(self, packed)[0], batch_first=True)[0]


class LoopLayer(BiLstmLayer):
    """A loop over time in PyTorch operations, after one product for the inputs' share of all gates."""

    def reversed(self, x: Tensor, span: Span) -> Tensor:
        """As `BiLstmLayer.reversed`."""
        back = reverse(self._run(self.backwards, reverse(x, span.reversal)), span.reversal)
        return torch.cat([self._run(self.forwards, x), back], dim=-1)

    def _run(self, lstm: nn.LSTM, x: Tensor) -> Tensor:
        inputs, recurrent, *biases = lstm.parameters()
        projected = nn.functional.linear(x, inputs, sum(biases)).unbind(1)
        recurrent = recurrent.T.to(projected[0].dtype)
        hidden = projected[0].new_zeros(len(x), WIDTH)
        cell, outputs = torch.zeros(len(x), WIDTH), []
        for frame in projected:
            gates = torch.addmm(frame, hidden, recurrent)
            enter, forget, candidate, leave = gates.float().chunk(4, dim=1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
            hidden = (leave.sigmoid() * cell.tanh()).to(frame.dtype)
            outputs.append(hidden)
        return torch.stack(outputs, dim=1)


class OneDnnLayer(BiLstmLayer):
    """oneDNN's own backward pass."""

    def reversed(self, x: Tensor, span: Span) -> Tensor:
        """As `BiLstmLayer.reversed`."""
        back = reverse(self.backwards(reverse(x, span.reversal))[0], span.reversal)
        return torch.cat([self.forwards(x)[0], back], dim=-1)


@dataclass(frozen=True)
class Variant:
    """One implementation of the layers."""

    name: str
    make: Callable[[], nn.Module]
    precision: str = "autocast"  # or float32, or bfloat16: the weights themselves are


VARIANTS = (
    Variant("ours: two LSTMs, one reversed", Layers),
    Variant("ours, float32", Layers, "float32"),
    Variant("ours, weights in bfloat16", Layers, "bfloat16"),
    Variant("nn.LSTM, both directions, padding included", lambda: Whole(batch_first=True)),
    Variant("nn.LSTM, time first", Whole),
    Variant("nn.LSTM, dropout inside", lambda: Whole(batch_first=True, dropout=0.2)),
    Variant("nn.LSTM, packed", Packed),
    Variant("nn.LSTM, projected to a half", lambda: Whole(batch_first=True, proj_size=WIDTH // 2)),
    Variant("loop over time", lambda: Layers(LoopLayer)),
    Variant("oneDNN's backward pass", lambda: Layers(OneDnnLayer)),
)
BATCHES = (1, 2, 4)  # times as many rows of the same length
SHAPES = (4, 8, 16, 32, 64)  # rows that the seconds of the batch are cut into


class Trial:
    """A variant with its own random input."""

    def __init__(self, variant: Variant, rows: int, seconds: float):
        torch.manual_seed(0)
        self.variant, self.module = variant, variant.make()
        frames = round(seconds * FRAMES_PER_SECOND)
        self.audio_seconds = rows * frames / FRAMES_PER_SECOND
        # What pads real batches is 2%.
        self.lengths = torch.linspace(0.96 * frames, frames, rows).long()
        dtype = torch.float32 if variant.precision == "float32" else torch.bfloat16
        self.x = torch.randn(rows, frames, INPUTS, dtype=dtype, requires_grad=True)
        if variant.precision == "bfloat16":
            self.module.bfloat16()

    def step(self) -> None:
        """Forward and backward."""
        self.module.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.variant.precision == "autocast"):
            output = self.module(self.x, self.lengths)
        output.backward(torch.ones_like(output))


def time_rounds(trials: Sequence[Trial], rounds: int) -> list[list[float]]:
    """Seconds of audio per second of processor time, per trial and round, after a warm-up round."""
    speeds: list[list[float]] = [[] for _ in trials]
    for number in range(rounds + 1):
        for trial, own in zip(trials, speeds, strict=True):
            start = time.process_time()
            trial.step()
            if number:
                own.append(trial.audio_seconds / (time.process_time() - start))
    return speeds


def compare(names: Sequence[str], trials: Sequence[Trial], rounds: int) -> str:
    """A table of speeds, each also relative to the first."""
    speeds = time_rounds(trials, rounds)
    rows = [
        (name, f"{median(own):.0f}", f"{median(a / b for a, b in zip(own, speeds[0], strict=True)):.2f}")
        for name, own in zip(names, speeds, strict=True)
    ]
    return table(("variant", "s/s", "times the first"), rows)


def by_the_clock(processes: int, threads: int, options: Options) -> float:
    """Seconds of audio per second of wall-clock time, by several processes at once."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, torch.set_num_threads, (threads,)) as pool:
        return sum(pool.map(_steps, [options] * processes))


def _steps(options: Options) -> float:
    trial = Trial(VARIANTS[0], options.rows, options.seconds)
    trial.step()
    start = time.perf_counter()
    for _ in range(options.rounds):
        trial.step()
    return options.rounds * trial.audio_seconds / (time.perf_counter() - start)


def main(options: Options) -> None:
    """Run everything and print it."""
    torch.set_num_threads(1)
    prepare()
    rows, seconds, rounds = options.rows, options.seconds, options.rounds
    print(f"{processor()}\n\n### {rows} utterances of {seconds:g} s\n")
    log("variants")
    print(
        compare([variant.name for variant in VARIANTS], [Trial(variant, rows, seconds) for variant in VARIANTS], rounds)
    )
    log("shapes")
    print(f"\n### The same {rows * seconds:g} s in other shapes\n")
    shapes = [(count, rows * seconds / count) for count in SHAPES]
    names = [f"{count} utterances of {each:.1f} s" for count, each in shapes]
    print(compare(names, [Trial(VARIANTS[0], *shape) for shape in shapes], rounds))
    log("batches")
    print(f"\n### More utterances of {seconds:g} s\n")
    for variant in (VARIANTS[0], VARIANTS[-1]):
        names = [f"{variant.name}, {count * rows} utterances" for count in BATCHES]
        print(compare(names, [Trial(variant, count * rows, seconds) for count in BATCHES], rounds) + "\n")
    if options.processes:
        print("### By the clock\n")
        setups = [(1, 1), (1, 2), (2, 1)]
        speeds = [(*setup, f"{by_the_clock(*setup, options):.0f}") for setup in setups]
        print(table(("processes", "threads of each", "s/s"), speeds))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
