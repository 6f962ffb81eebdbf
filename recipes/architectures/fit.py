"""The number of epochs that fits into a time: two epochs of every run, all at once as in the study, are timed first."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from asr.config import Recipe
from asr.errors import ConfigError

TIMED_EPOCHS = 2


@dataclass(frozen=True)
class Pace:
    """Wall-clock seconds of a run."""

    start: float  # before the first step and after the last, and by which the first steps are slower
    epoch: float  # mean, with the measurement on dev


def measure_pace(recipe: Recipe, hours: float) -> Pace:
    """Train a recipe on its `hours` of speech for two epochs."""
    from accuracy import train_run

    output = recipe.output.parent.parent / "pace" / recipe.output.name
    settings = replace(recipe.training, epochs=TIMED_EPOCHS, patience=TIMED_EPOCHS)
    started = time.monotonic()
    if math.isinf(train_run(replace(recipe, output=output, training=settings)).dev_error):
        return Pace(0.0, 0.0)  # the whole run will end as early
    total = time.monotonic() - started
    records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    first, second = (record for record in records if record["kind"] == "epoch")
    seconds = [3600 * hours / record["audio_seconds_per_second"] for record in (first, second)]
    dev = second["seconds"] - first["seconds"] - (1 - second["waiting_share"]) * seconds[1]
    epoch = sum(seconds) / TIMED_EPOCHS
    begin = next((record for record in records if record["kind"] == "train"), None)
    if begin and begin["step"] < first["step"]:
        # The first steps, up to the first record, load libraries and choose algorithms.
        share = begin["step"] / second["step"]
        slow = TIMED_EPOCHS * 3600 * hours * share / begin["audio_seconds_per_second"]
        epoch = (sum(seconds) - slow) / TIMED_EPOCHS / (1 - share)
    epoch += max(0.0, dev)
    return Pace(max(0.0, total - TIMED_EPOCHS * epoch), epoch)


def epochs_within(seconds: float, paces: Sequence[Pace]) -> int:
    """The number of epochs that the slowest of runs at this pace, all at once, trains in this time.

    Raises `ConfigError` if that is not even one.
    """
    start, epoch = max(pace.start for pace in paces), max(pace.epoch for pace in paces)
    if seconds < start + epoch:
        raise ConfigError(f"train_seconds: an epoch of the slowest run takes {epoch:.0f} s and its start {start:.0f} s")
    return math.floor((seconds - start) / epoch)
