"""The folder of a training run (`output` in the recipe) and the progress of the run in it.

model.safetensors        the result, written at the end
recipe.json              the recipe of the run; it must be the same on resuming
checkpoint.safetensors   the state to resume from
epoch-NNN.safetensors    weights of the best epochs, to be averaged
metrics.jsonl            a record every few steps and every epoch
tensorboard/             the same for TensorBoard
training.html            the same as curves, written at the end
features/                the features, unless the recipe names another folder; deleted at the end
bad-batch.safetensors    features and tokens of a batch whose loss was NaN
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from asr.config import Recipe
from asr.errors import TrainingError
from asr.training.config import TrainingConfig
from asr.utils.config_io import CHOSEN_AT_START, MAY_CHANGE, from_values, marked, to_values
from asr.utils.files import write_atomically

OTHERWISE = "train into another --output or delete this folder"  # when a run cannot be resumed


@dataclass
class Progress:
    """How far a run has got; saved in every checkpoint."""

    epoch: int = 0
    batch: int = 0  # batches of this epoch that are done
    step: int = 0
    seconds: float = 0.0  # of work, over all resumptions
    loss_sum: float = 0.0  # of this epoch, in nats
    token_count: int = 0  # of this epoch
    too_short: int = 0  # utterances of this epoch with too few frames for their tokens
    best: list[tuple[float, int]] = field(default_factory=list)  # (dev WER or CER, epoch), best first
    stale: int = 0  # epochs since dev WER last improved
    left_out: tuple[int, int] | None = None  # (epoch, batch) whose loss was NaN
    data_digest: str = ""  # of the training and the dev corpus, one after the other

    def begin_epoch(self, epoch: int) -> None:
        """Move to the start of this epoch."""
        self.epoch, self.batch = epoch, 0
        self.loss_sum, self.token_count, self.too_short = 0.0, 0, 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Progress":
        """The reverse of `to_dict`, also after JSON has made lists of tuples."""
        progress = Progress(**values)
        progress.best = [(wer, epoch) for wer, epoch in progress.best]
        if progress.left_out:
            epoch, batch = progress.left_out
            progress.left_out = epoch, batch
        return progress


class RunFolder:
    """The paths in a run's folder, and the rule that only the recipe that began a run may resume it."""

    def __init__(self, recipe: Recipe):
        self.path, self._recipe = recipe.output, recipe
        self._recorded = self.path / "recipe.json"
        self.model = self.path / "model.safetensors"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.bad_batch = self.path / "bad-batch.safetensors"
        self.page = self.path / "training.html"
        self.metrics = self.path / "metrics.jsonl"
        self.features = recipe.training.cache or self.path / "features"

    def weights(self, epoch: int) -> Path:
        """The weights of an epoch, counted from 0."""
        return self.path / f"epoch-{epoch + 1:03d}.safetensors"

    def keep_only(self, epochs: list[int]) -> None:
        """Delete the weights of all other epochs."""
        for path in set(self.path.glob("epoch-*.safetensors")) - {self.weights(epoch) for epoch in epochs}:
            path.unlink()

    def drop_features(self) -> None:
        """Delete the features, unless the recipe names a folder for them."""
        if not self._recipe.training.cache:
            shutil.rmtree(self.features, ignore_errors=True)

    def write_recipe(self, recipe: Recipe) -> None:
        """Record the recipe as that of this folder."""
        values = to_values(recipe)
        write_atomically(self._recorded, json.dumps(values, indent=2, ensure_ascii=False))

    def training_begun(self) -> TrainingConfig | None:
        """The training section of the run in this folder; None if no run has begun."""
        if not self._recorded.exists() or not self.checkpoint.exists():
            return None
        return from_values(TrainingConfig, json.loads(self._recorded.read_text())["training"], str(self._recorded))

    def check_recipe(self) -> None:
        """Raises `TrainingError` when the folder holds a run of another recipe."""
        changed = self.recipe_changes()
        if changed:
            more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
            raise TrainingError(f"{self.path}: this run was begun with {changed[0]}{more}; {OTHERWISE}")

    def recipe_changes(self) -> list[str]:
        """The options that differ from those of the run in this folder, as `KEY = OLD, now it is NEW`."""
        if not self._recorded.exists() or not (self.checkpoint.exists() or self.model.exists()):
            return []
        # Options that are newer than the run had their defaults in it.
        defaults, before, now = (
            dict(_flatten(values))
            for values in (to_values(Recipe()), json.loads(self._recorded.read_text()), to_values(self._recipe))
        )
        before = defaults | before
        free, chosen = marked(Recipe, MAY_CHANGE), marked(Recipe, CHOSEN_AT_START)
        compared = (key for key in now if key not in free and (key not in chosen or now[key]))
        return changes(before, now, compared)


def fixed_options(config: Any) -> dict[str, Any]:
    """The options that a resumed run must share, by name, as JSON gives them back."""
    free = marked(type(config), MAY_CHANGE)
    return {key.rpartition(".")[2]: value for key, value in _flatten(to_values(config)) if key not in free}


def changes(before: Mapping[str, Any], now: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """The options of these names that differ, as `NAME = OLD, now it is NEW`."""
    return [f"{name} = {before.get(name)}, now it is {now[name]}" for name in names if before.get(name) != now[name]]


def _flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value
