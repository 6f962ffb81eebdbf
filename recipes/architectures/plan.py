"""The size of the study and the recipe of each run: the same data, steps and parameters for every family."""

import dataclasses
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from asr.config import Recipe
from asr.data.division import first_minutes
from asr.data.manifest import Utterance, read_manifests, total_hours, write_manifest
from asr.errors import ConfigError
from asr.model.config import ModelConfig
from asr.text.normalizer import normalize
from asr.text.phones import Phones
from asr.text.tokenizer import train_tokenizer
from asr.training.length import with_length
from asr.utils.config_io import NotNegative

#: In the report's order: from no context through recurrence to the whole utterance at once.
Family = Literal["none", "rnn", "gru", "lstm", "bilstm", "cnn", "transformer"]
FAMILIES: tuple[Family, ...] = get_args(Family)

#: Layers per layer of the recipe: residual layers work best as many narrow ones.
DEPTH = {"none": 2, "cnn": 2, "transformer": 2}


@dataclass(frozen=True)
class Plan:
    """The size of the study."""

    #: Encoder families to compare, lstm and bilstm among them.
    families: tuple[Family, ...] = FAMILIES
    #: Share of the recipe's epochs.
    epoch_share: float = 1.0
    #: Shares of the recipe's learning rate to try on all the speech; each family keeps that with the fewest errors on
    #: dev.
    rate_shares: tuple[float, ...] = (1.0, 0.3)
    #: Epochs after which only the better learning rate of each family trains on, as in successive halving (Jamieson and
    #: Talwalkar 2016). 0: all train to the end.
    trial_epochs: NotNegative = 0
    #: Families for which these shares are multiplied by another, such as `rnn 0.25`.
    family_shares: dict[str, float] = field(default_factory=dict)
    #: Minutes of speech in the smaller training sets; none: no such runs.
    minutes: tuple[float, ...] = (10.0, 30.0)
    #: Share of the parameters in the small models; 0 trains none.
    small_share: float = 0.25
    #: Seconds of the utterances that are timed.
    seconds: tuple[float, ...] = (2.0, 6.0, 20.0, 60.0, 200.0, 600.0)
    #: Timings of each utterance; the fastest counts.
    rounds: int = 3
    #: Numbers of test recordings joined into one.
    joins: tuple[int, ...] = (1, 2, 4, 8)
    #: Seconds before and after an output over which gradients are measured.
    reach_seconds: float = 6.0
    #: Clips of twice that length that the gradients are averaged over.
    reach_clips: int = 16
    #: Seconds of look-ahead.
    looks: tuple[float, ...] = (0.0, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)
    #: Test utterances recognised incrementally.
    partial_utterances: int = 100
    #: Learning rate of plain gradient descent at which gradients explode.
    high_rate: float = 1.0
    #: Steps at that rate.
    steps: int = 150
    #: Seconds of audio in each of them.
    step_seconds: float = 20.0

    def __post_init__(self):
        if not {"lstm", "bilstm"} <= set(self.families):
            raise ValueError("families: lstm and bilstm, with which the report compares the others, must be among them")


QUICK = Plan(
    epoch_share=0.25,
    rate_shares=(1.0,),
    minutes=(10.0,),
    small_share=0.0,
    seconds=(2.0, 8.0, 30.0, 120.0),
    rounds=1,
    reach_seconds=3.0,
    reach_clips=4,
    looks=(0.0, 0.16, 0.64),
    partial_utterances=20,
    steps=40,
)


@dataclass(frozen=True)
class Run:
    """One training run."""

    family: str
    minutes: float | None = None  # of training speech; None: all of it
    small: bool = False
    rate_share: float = 1.0

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        minutes = f"{self.minutes:g}min" if self.minutes else ""
        rate = f"rate{self.rate_share:g}" if self.rate_share != 1 else ""
        return "-".join(filter(None, [self.family, minutes, "small" if self.small else "", rate]))


class Recipes:
    """The recipe of each run, derived from that of the default family."""

    def __init__(self, base: Recipe, plan: Plan, output: Path, device: str = "cpu"):
        from asr.model.acoustic_model import AcousticModel

        self.plan, self.output, self.device = plan, output, device
        self.utterances = read_manifests(base.data.train, check_audio=True)
        self.hours = total_hours(self.utterances)
        base = dataclasses.replace(base, training=with_length(base.training, 3600 * self.hours))
        self.base = base
        if 60 * self.hours <= max(plan.minutes, default=0):
            raise ConfigError(
                f"{base.data.train[0]}: {60 * self.hours:.0f} min of training speech; "
                f"the study compares it with {max(plan.minutes):g} min and needs more"
            )
        texts = [normalize(utterance.text, base.text) for utterance in self.utterances]
        self.tokens = len(train_tokenizer(texts, base.text).pieces)
        self.phones = len(Phones.read(base.data.lexicon).pieces) if base.data.lexicon else 0
        self.epochs = max(1, round(plan.epoch_share * base.training.epochs))
        self.parameters = AcousticModel(base.model, base.features.mels, self.tokens, self.phones).parameter_count()

    @property
    def steps(self) -> int:
        """Updates of the weights in each run."""
        return round(self.epochs * 3600 * self.hours / self.base.training.batch_seconds)

    def recipe(self, run: Run) -> Recipe:
        """A run's recipe, with the same number of steps whatever the amount of speech."""
        depth, base = DEPTH.get(run.family, 1), self.base.model
        layers = {"layers": depth * base.layers, "phone_layer": depth * base.phone_layer}
        model = dataclasses.replace(base, encoder=run.family, **layers)
        parameters = round(self.parameters * (self.plan.small_share if run.small else 1.0))
        model = match_width(model, self.base.features.mels, self.tokens, parameters, self.phones)
        passes = 60 * self.hours / run.minutes if run.minutes else 1.0
        epochs = round(self.epochs * passes)
        # No early stopping, so that runs are comparable; cached features need no other processes.
        settings = {"epochs": epochs, "patience": epochs, "device": self.device, "workers": 0}
        settings["cache"] = self.output / "features"
        settings["learning_rate"] = run.rate_share * self.base.training.learning_rate
        training = dataclasses.replace(self.base.training, **settings)
        train = (self._subset(run.minutes),) if run.minutes else self.base.data.train
        data = dataclasses.replace(self.base.data, train=train)
        output = self.output / "runs" / run.name
        return dataclasses.replace(self.base, output=output, model=model, data=data, training=training)

    def _subset(self, minutes: float) -> Path:
        """A manifest of random utterances of `minutes` in total; smaller sets are subsets of larger ones."""
        path = self.output / "data" / f"train-{minutes:g}min.jsonl"
        if not path.exists():
            write_manifest(path, choose(self.utterances, minutes))
        return path


def choose(utterances: list[Utterance], minutes: float) -> list[Utterance]:
    """Random utterances, always the same, of `minutes` in total, or all if there are fewer."""
    shuffled = sorted(utterances, key=lambda utterance: utterance.id)
    random.Random(0).shuffle(shuffled)
    return first_minutes(shuffled, minutes)


def match_width(config: ModelConfig, mels: int, tokens: int, parameters: int, phones: int = 0) -> ModelConfig:
    """The config with the width whose model comes nearest to this number of parameters."""
    import torch

    from asr.model.acoustic_model import AcousticModel

    def excess(width: int) -> int:
        with torch.device("meta"):  # tensors without contents
            model = AcousticModel(dataclasses.replace(config, width=width), mels, tokens, phones)
        return model.parameter_count() - parameters

    above = 1
    while excess(above) < 0:
        above *= 2
    below = above // 2 or 1
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if excess(middle) < 0 else (below, middle)
    return dataclasses.replace(config, width=min(below, above, key=lambda width: abs(excess(width))))
