"""A bidirectional LSTM model -> one with wider layers that computes nearly the same, to train on (Net2Net, Chen et al.
2016).

    python widen.py model.safetensors --width 352 -o wide.safetensors

New cells are copies of random others. What a cell and its copies pass on is divided among them at random, so that they
become different in training.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from asr.errors import AsrError, ModelFileError
from asr.model.model_file import ModelFile, load_model, save_model
from asr.utils.messages import tell

GATES = 4


@dataclass(frozen=True)
class Options:
    """Widen the layers of a model."""

    #: Model file of a bidirectional LSTM.
    model: Annotated[Path, tyro.conf.Positional]
    #: Model file to write.
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    #: Cells per direction.
    width: int
    #: Seed of the choice of cells.
    seed: int = 0


class Copies:
    """The old feature that each feature of a wider layer is a copy of, and its share of what they pass on."""

    def __init__(self, source: np.ndarray, shares: np.ndarray):
        self.source, self.shares = source, shares

    @classmethod
    def drawn(cls, old: int, new: int, random: np.random.Generator) -> "Copies":
        """`old` features and `new - old` copies of different ones."""
        copied = random.choice(old, new - old, replace=False)
        source, shares = np.concatenate([np.arange(old), copied]), np.ones(new, np.float32)
        shares[old:] = random.uniform(0.3, 0.7, new - old)
        shares[copied] -= shares[old:]
        return cls(source, shares)

    @classmethod
    def same(cls, size: int) -> "Copies":
        """All features once."""
        return cls(np.arange(size), np.ones(size, np.float32))

    def before(self, other: "Copies") -> "Copies":
        """These features, then those of another direction."""
        source = np.concatenate([self.source, other.source + self.source.max() + 1])
        return Copies(source, np.concatenate([self.shares, other.shares]))

    def rows(self, array: np.ndarray, blocks: int = 1) -> np.ndarray:
        """An array whose first axis has these features, in each of several blocks."""
        old = len(array) // blocks
        return np.concatenate([array[block * old + self.source] for block in range(blocks)])

    def columns(self, array: np.ndarray) -> np.ndarray:
        """A matrix whose inputs are these features."""
        return array[:, self.source] * self.shares


def widened(file: ModelFile, width: int, seed: int) -> ModelFile:
    """The same model with `width` cells per direction. Raises `ModelFileError` if that is impossible."""
    config, random, weights = file.architecture, np.random.default_rng(seed), dict(file.weights)
    if config.encoder != "bilstm" or not config.width <= width <= 2 * config.width:
        raise ModelFileError(f"{file.path}: only a bilstm can be widened, to at most twice its {config.width} cells")
    inputs = Copies.same(weights["layers.0.forwards.weight_ih_l0"].shape[1])
    for layer in range(config.layers):
        directions = [Copies.drawn(config.width, width, random) for _ in range(2)]
        for name, cells in zip(("forwards", "backwards"), directions, strict=True):
            prefix = f"layers.{layer}.{name}."
            for part in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
                weights[prefix + part] = cells.rows(weights[prefix + part], GATES)
            weights[prefix + "weight_ih_l0"] = inputs.columns(weights[prefix + "weight_ih_l0"])
            weights[prefix + "weight_hh_l0"] = cells.columns(weights[prefix + "weight_hh_l0"])
        inputs = directions[0].before(directions[1])
        for part in ("weight", "bias"):
            weights[f"norms.{layer}.{part}"] = inputs.rows(weights[f"norms.{layer}.{part}"])
        if layer + 1 == config.phone_layer and file.phones:
            weights["phone_head.weight"] = inputs.columns(weights["phone_head.weight"])
            if config.phone_layer < config.layers:
                for part in ("weight", "bias"):
                    weights[f"phone_feedback.{part}"] = inputs.rows(weights[f"phone_feedback.{part}"])
    weights["head.weight"] = inputs.columns(weights["head.weight"])
    weights = {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}
    return replace(file, weights=weights, architecture=replace(config, width=width))


def main(options: Options) -> None:
    """Write the wider model."""
    wide = widened(load_model(options.model), options.width, options.seed)
    save_model(options.output, wide)
    tell(f"{options.output}: {wide.parameter_count:,} parameters")


if __name__ == "__main__":
    try:
        main(tyro.cli(Options))
    except AsrError as error:
        sys.exit(f"error: {error}")
