"""The recipe of a training run: a TOML file with the sections of `Recipe`.

The same names, dotted, are the options of `asr train`; the comments above the fields are their `--help` texts.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from asr.audio.config import AugmentConfig, FeatureConfig
from asr.data.config import DataConfig
from asr.model.config import ModelConfig
from asr.text.config import TextConfig
from asr.training.config import TrainingConfig
from asr.utils.config_io import MAY_CHANGE, SHOWN, below, from_values, read_toml


@dataclass(frozen=True)
class Recipe:
    """A training run: data, text, features, augmentation, model and training."""

    #: Folder for the model file, checkpoints and logs, relative to the recipe's folder.
    output: Annotated[Path, MAY_CHANGE] = Path("run")
    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    #: Model to fine-tune: 'english' or a model file. It determines [features] (except average_seconds), [model]
    #: and, if it can spell the transcripts, [text]. Empty: train from scratch.
    base: Annotated[str, SHOWN] = ""
    #: Another recipe to train, such as one from scratch; the model with the lower dev WER, decoder included, is the
    #: result.
    rival: Annotated[Path | None, SHOWN, MAY_CHANGE] = None

    @property
    def frame_seconds(self) -> float:
        """Seconds from one output frame of the model to the next."""
        return self.features.hop_seconds * self.model.subsampling

    def output_frames(self, seconds: float) -> int:
        """Output frames of the model for a recording of this length."""
        frames = 1 + round(seconds * self.features.sample_rate) // self.features.hop_samples
        return math.ceil(frames / self.model.subsampling)


def load_recipe(path: Path) -> Recipe:
    """Read a TOML recipe; its paths are relative to its own folder.

    Raises `ConfigError` naming the file, the key and what is allowed.
    """
    recipe = from_values(Recipe, read_toml(path, "recipe"), str(path))
    folder = Path(path).parent
    data = dataclasses.replace(
        recipe.data,
        train=tuple(below(folder, name) for name in recipe.data.train),
        dev=tuple(below(folder, name) for name in recipe.data.dev),
        lexicon=recipe.data.lexicon and below(folder, recipe.data.lexicon),
    )
    noise = recipe.augment.noise and below(folder, recipe.augment.noise)
    augment = dataclasses.replace(recipe.augment, noise=noise)
    training = dataclasses.replace(
        recipe.training,
        warm_start=recipe.training.warm_start and below(folder, recipe.training.warm_start),
        cache=recipe.training.cache and below(folder, recipe.training.cache),
    )
    base = recipe.base if recipe.base in ("", "english") else str(below(folder, Path(recipe.base)))
    output, rival = below(folder, recipe.output), recipe.rival and below(folder, recipe.rival)
    return dataclasses.replace(
        recipe, output=output, base=base, rival=rival, data=data, augment=augment, training=training
    )
