"""Training from tar shards with features on the fly: seconds of audio per core, and whether training waits for data.

    python benchmarks/on_the_fly.py --manifest MANIFEST

packs some utterances into shards; computes their features in one process, without and with the recipe's changes of the
audio; and trains the recipe's network from the shards, with all features computed in a worker process. Prints a
Markdown table. The share of time spent waiting means something only on an idle machine.
"""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from report import processor, table
from terminal import log, start

from asr.audio.config import AugmentConfig
from asr.config import Recipe, load_recipe
from asr.data.config import DataConfig, PrepareConfig
from asr.data.feature_cache import CorpusFeatures
from asr.data.manifest import read_manifest, total_hours, write_manifest
from asr.data.prepare import prepare
from asr.data.utterances import Utterance
from asr.training.trainer import train

ROOT = Path(__file__).parent.parent
DEV = 20  # utterances
SHARDS = 8
SOME = 100  # utterances whose features are computed in this process


@dataclass(frozen=True)
class Options:
    """Features on the fly."""

    #: Manifest of the utterances.
    manifest: Path
    #: Recipe whose network, features and augmentation are used.
    recipe: Path = ROOT / "recipes/mini_librispeech/config.toml"
    #: Hours of audio, an epoch of which is trained. Starting the workers counts as waiting, which takes seconds.
    hours: float = 5.0
    #: Worker processes.
    workers: int = 1


def choose(utterances: Sequence[Utterance], seconds: float) -> list[Utterance]:
    """The first utterances, up to so many seconds."""
    chosen = []
    for utterance in utterances:
        seconds -= utterance.duration
        if seconds < 0:
            break
        chosen.append(utterance)
    return chosen


def audio_per_second(utterances: Sequence[Utterance], recipe: Recipe, augment: AugmentConfig | None) -> float:
    """Seconds of audio whose features a core computes in a second."""
    features = CorpusFeatures(utterances, recipe.features, augment)
    features(0, 0)
    started = time.process_time()
    for index in range(len(utterances)):
        features(0, index)
    return total_hours(utterances) * 3600 / (time.process_time() - started)


def main(options: Options) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = load_recipe(options.recipe)
        utterances = choose(read_manifest(options.manifest), 3600 * options.hours)
        for subset, part in (("train", utterances[DEV:]), ("dev", utterances[:DEV])):
            write_manifest(folder / f"{subset}.jsonl", part)
            prepare("table", str(folder / f"{subset}.jsonl"), folder / "shards", PrepareConfig(shards=SHARDS))
        packed = folder / "shards"
        some = read_manifest(packed / "train.jsonl")[:SOME]
        log("computing features")
        rows = [
            ("features, seconds of audio per second of a core", f"{audio_per_second(some, recipe, None):.0f}"),
            ("the same with augmentation", f"{audio_per_second(some, recipe, recipe.augment):.0f}"),
        ]
        training = replace(recipe.training, epochs=1, patience=1, average=1)
        training = replace(training, workers=options.workers, cache_gigabytes=0.0)
        data = DataConfig((packed / "train.jsonl",), (packed / "dev.jsonl",))
        train(replace(recipe, output=folder / "run", data=data, training=training))
        entries = map(json.loads, (folder / "run" / "metrics.jsonl").read_text().splitlines())
        last = [entry for entry in entries if "waiting_share" in entry][-1]  # of the whole epoch
        rows += [
            ("training, seconds of audio per second", f"{last['audio_seconds_per_second']:.0f}"),
            ("share of the time that training waits for data", f"{last['waiting_share']:.1%}"),
        ]
    print(f"{processor()}, {len(os.sched_getaffinity(0))} usable, {options.workers} workers\n")
    print(table(("figure", "measured"), rows))


if __name__ == "__main__":
    start(main, Options, __doc__)
