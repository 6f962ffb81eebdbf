"""One update of the weights: loss, optimizer, learning-rate schedule and the moving average of the weights.

A batch comes in parts: one per process of the run, or several if gradients are accumulated. The parts' gradients are
summed, so that the result does not depend on the number of parts.
"""

import contextlib
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss
from torch.nn.parallel import DistributedDataParallel

from asr.data.batching import Batch
from asr.model.acoustic_model import AcousticModel
from asr.model.ctc_crf import competition, train_trigram
from asr.model.ctc_loss import CtcLoss
from asr.training.config import TrainingConfig
from asr.utils.device import choose_device, choose_precision, mixed_precision
from asr.utils.distributed import Group

# The gradient of a convolution with one input channel comes in another of its equivalent memory layouts: 240 numbers.
warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")


@dataclass(frozen=True)
class Part:
    """The share of a batch that one process computes at a time."""

    batch: Any  # what the learner's `loss` takes
    counts: bool = True  # False for the repeats that fill up a batch of fewer utterances than parts


@dataclass(frozen=True)
class StepResult:
    """Figures of one update."""

    loss: float  # nats, summed over the batch
    too_short: int  # skipped utterances: fewer frames than CTC needs for their tokens
    gradient_norm: float  # before clipping
    stop: bool  # whether any process was asked to stop


class NotFiniteError(Exception):
    """The loss or the gradient of a batch is infinite or NaN."""


class OptimizerOptions(Protocol):
    """What a learner needs of a training section."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def warmup_share(self) -> float: ...
    @property
    def schedule(self) -> str: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def clip_norm(self) -> float: ...
    @property
    def ema(self) -> float: ...
    @property
    def precision(self) -> str: ...
    @property
    def device(self) -> str: ...


def seed_step(*entropy: int) -> None:
    """Seed what a step draws, such as dropout, so that a resumed run draws what an uninterrupted one would have."""
    torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


class Learner(ABC):
    """A model in training, with its optimizer. A subclass has the loss."""

    def __init__(self, model: nn.Module, config: OptimizerOptions, group: Group, rate_shares: Sequence[float] = ()):
        """`rate_shares` as in `make_optimizer`."""
        self.config, self.group = config, group
        self.device = choose_device(config.device)
        self.dtype, self.reason = choose_precision(config.precision, self.device)
        self.model = model.to(self.device)
        self.optimizer = make_optimizer(model, config, rate_shares)
        self.average = WeightAverage(model, config.ema) if config.ema else None
        self._network: nn.Module = model

    @property
    def description(self) -> str:
        """Size of the network, and where and how it computes."""
        size = sum(parameter.numel() for parameter in self.model.parameters())
        return f"{size:,} parameters, {self.device}, {str(self.dtype).removeprefix('torch.')} ({self.reason})"

    def connect(self) -> None:
        """Copy the first process's weights to all processes; from here on gradients are summed over them."""
        if self.group.size > 1:
            self._network = DistributedDataParallel(self.model)

    def step(self, parts: Sequence[Part], tokens: int, step: int, rate: float, stop: bool = False) -> StepResult:
        """Update the weights from the parts of a batch with this number of tokens; steps are counted from 0.

        Raises `NotFiniteError` before the weights change. `stop` is passed on to all processes.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.zero_grad(set_to_none=True)
        loss, too_short = 0.0, 0
        for part in parts:
            with contextlib.nullcontext() if part is parts[-1] else self._unsynchronized():
                part_loss, part_short = self.loss(part.batch)
                # Gradients are averaged over processes, so the loss is scaled up by their number.
                (part_loss * part.counts * self.group.size / max(1, tokens)).backward()
            if part.counts:
                loss, too_short = loss + part_loss.item(), too_short + part_short
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm).item()
        loss, too_short, stops = self.group.sum([loss, too_short, stop])
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise NotFiniteError(f"the loss is {loss}, the gradient norm {norm}")
        self.optimizer.step()
        if self.average:
            self.average.update(self.model, step)
        return StepResult(loss, int(too_short), norm, stops > 0)

    @property
    def averaged_weights(self) -> dict[str, Tensor]:
        """The moving average of the weights, to be saved and restored; empty without one."""
        return self.average.weights if self.average else {}

    def measured(self) -> contextlib.AbstractContextManager:
        """A context in which the model has the weights to measure and keep: the average, if there is one."""
        return self.average.applied(self.model) if self.average else contextlib.nullcontext()

    @abstractmethod
    def loss(self, batch: Any) -> tuple[Tensor, int]:
        """The loss of a batch in nats, summed, and the number of utterances that had to be skipped."""

    def _unsynchronized(self) -> contextlib.AbstractContextManager:
        network = self._network
        return network.no_sync() if isinstance(network, DistributedDataParallel) else contextlib.nullcontext()


class CtcLearner(Learner):
    """An acoustic model in training."""

    model: AcousticModel

    def __init__(
        self,
        model: AcousticModel,
        config: TrainingConfig,
        group: Group,
        phones: Sequence[Sequence[int]] | None = None,
        rate_shares: Sequence[float] = (),
    ):
        """`phones` are those of the training transcripts, for `crf_share`; `rate_shares` as in `make_optimizer`."""
        super().__init__(model, config, group, rate_shares)
        self._crf_share, self._phone_weight = config.crf_share, config.phone_weight
        self._trigram: np.ndarray | None = None
        if config.crf_share and model.phone_layer and phones:
            self._trigram = train_trigram(phones, model.phone_head.out_features)

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        """CTC loss (Graves et al. 2006) in nats, summed over the batch, and the number of utterances skipped for having
        fewer output frames than their tokens or phones need."""
        with mixed_precision(self.device, self.dtype):
            features = batch.features.to(self.device, non_blocking=True)
            output, _ = self._network(features, batch.lengths.to(self.device, non_blocking=True))
        if self.device.type == "mps":
            output = output.cpu()  # PyTorch has no CTC loss on Apple GPUs
        lengths = self.model.output_lengths(batch.lengths)
        fits = batch.frames_needed <= lengths
        short = int((~fits).sum())
        if short:
            output, lengths = output[fits.to(output.device)], lengths[fits]
        if short == len(fits):
            return output.sum(), short  # of no elements: zero, with a graph for the backward pass
        tokens = self.model.head.out_features
        loss = _ctc(output[..., :tokens], lengths, *_fitting(batch.tokens, batch.token_lengths, fits))
        if self.model.phone_layer and len(batch.phones):  # a base's phones may have no targets
            references = _fitting(batch.phones, batch.phone_lengths, fits)
            phones = _ctc(output[..., tokens:], lengths, *references)
            if self._trigram is not None:
                spoken, arguments = output[..., tokens:], (references[0], lengths, references[1], self._trigram)
                phones = phones + self._crf_share * competition(spoken, *arguments)
            loss = loss + self._phone_weight * (phones - loss)
        return loss, short


def _fitting(tokens: Tensor, token_lengths: Tensor, fits: Tensor) -> tuple[Tensor, Tensor]:
    """References end to end, and their lengths, of the utterances that fit into their frames."""
    if fits.all():
        return tokens, token_lengths
    rows = zip(tokens.split(token_lengths.tolist()), fits.tolist(), strict=True)
    return torch.cat([row for row, fit in rows if fit]), token_lengths[fits]


def _ctc(output: Tensor, lengths: Tensor, tokens: Tensor, token_lengths: Tensor) -> Tensor:
    """The CTC loss in nats, summed."""
    if output.device.type == "cpu":
        return CtcLoss.apply(output, tokens, lengths, token_lengths)
    tokens = tokens.to(output.device, non_blocking=True)
    return ctc_loss(output.transpose(0, 1), tokens, lengths, token_lengths, reduction="sum")


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Treat denormal numbers as zero: decaying optimizer moments reach them, and they slow a CPU down many times."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def make_optimizer(
    model: nn.Module, config: OptimizerOptions, rate_shares: Sequence[float] = ()
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with weight decay on matrices only.

    `rate_shares` are the shares of the learning rate by depth, from the output layer down; without them all are 1.
    """
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    layers = len(rate_shares) - 2  # the others are the output layer and the subsampling
    for name, parameter in model.named_parameters():
        share = rate_shares[_depth(name, layers, rate_shares[0] == 1)] if rate_shares else 1.0
        matrix = parameter.dim() > 1
        options = {"params": [], "weight_decay": config.weight_decay if matrix else 0.0, "share": share}
        groups.setdefault((-share, not matrix), options)["params"].append(parameter)
    ordered = [groups[key] for key in sorted(groups)]
    return torch.optim.AdamW(ordered, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)


def _depth(name: str, layers: int, new_output: bool) -> int:
    """Layers from the output layer down to a parameter: 0 for the output layer, 1 for the last encoder layer.

    The phones of a new alphabet are new too, so they count as output layers.
    """
    part, number = (*name.split("."), "")[:2]
    if part in ("layers", "norms"):
        return layers - int(number)
    phones = 0 if new_output else 1
    return {"head": 0, "phone_head": phones, "phone_feedback": phones, "subsampling": layers + 1}[part]


def learning_rate(config: OptimizerOptions, step: int, total_steps: int) -> float:
    """Linear warm-up from zero, then the schedule: constant, or down to zero at the last step."""
    warmup = max(1, round(config.warmup_share * total_steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    shares = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}
    return config.learning_rate * shares[config.schedule]


class WeightAverage:
    """Exponential moving average of a model's weights (Polyak & Juditsky 1992).

    Decay d averages about the last 1 / (1 - d) steps; early in training, about the later half of all steps.
    """

    def __init__(self, model: nn.Module, decay: float):
        self._decay = decay
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Add the weights after a step, counted from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.weights.values()), list(model.state_dict().values()), 1 - decay)

    @contextlib.contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """A context in which the model's weights are the average."""
        own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(self.weights)
        try:
            yield
        finally:
            model.load_state_dict(own)
