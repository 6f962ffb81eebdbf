"""Speed of training: our loop, SpeechBrain's, that of torchaudio's tutorial, and the LSTM alone, in one run.

    python benchmarks/training.py

prints Markdown tables. Each trainer has its own process and one thread; each round measures all of them, and the median
over rounds is reported. Seconds are processor time, on which other work on the machine has less influence.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

from report import processor, table
from terminal import log, start
from trainers import CEILING, KINDS, OURS, Round, Worker, missing

from asr.audio.config import AugmentConfig
from asr.config import Recipe
from asr.data.config import DataConfig
from asr.data.manifest import read_manifest, write_manifest
from asr.errors import ConfigError
from asr.training.config import TrainingConfig

ROOT = Path(__file__).parent.parent
EPOCHS = (1, 3, 10, 30)  # of training, among which the cost of computing our features is divided


@dataclass(frozen=True)
class Options:
    """Seconds of audio per second of training, for our training loop and others."""

    #: Manifest of the training utterances.
    manifest: Path = ROOT / "data/english/speech/librispeech-train.jsonl"
    #: Hours of the manifest, taken from all parts of it.
    hours: float = 5.0
    #: Seconds of audio per batch, for all trainers.
    batch_seconds: float = 120.0
    #: Minutes of audio per trainer and round.
    minutes: float = 20.0
    #: Measurements of each speed.
    rounds: int = 5
    #: A quick version of two minutes: a tenth of an hour, two minutes per round, two rounds.
    quick: bool = False


def choose(options: Options) -> Options:
    """The options, reduced by `quick`, with the synthetic corpus of `make train` if the manifest does not exist."""
    if options.quick:
        options = replace(options, hours=0.1, minutes=2.0, rounds=2)
    if options.manifest.exists():
        return options
    synthetic = ROOT / "data/digits/corpus/train.jsonl"
    if not synthetic.exists():
        raise ConfigError(f"{options.manifest}: no such file; give --manifest, or run `make train` first")
    log(f"{options.manifest}: no such file; measuring on the synthetic corpus instead")
    return replace(options, manifest=synthetic)


def make_recipe(options: Options, folder: Path) -> Recipe:
    """The default network and augmentation, with three speeds, on a part of the manifest."""
    utterances = read_manifest(options.manifest)
    hours = sum(utterance.duration for utterance in utterances) / 3600
    kept = utterances[:: max(1, round(hours / options.hours))]
    train = write_manifest(folder / "train.jsonl", kept)
    # Dev is measured between epochs, which no round reaches.
    dev = write_manifest(folder / "dev.jsonl", utterances[:1])
    return Recipe(
        output=folder / "run",
        data=DataConfig(train=(train,), dev=(dev,)),
        augment=AugmentConfig(copies=3, speeds=(0.9, 1.0, 1.1)),
        training=TrainingConfig(epochs=30, batch_seconds=options.batch_seconds, patience=30),
    )


def run_rounds(workers: dict[str, Worker], minutes: float, rounds: int) -> dict[str, list[Round]]:
    """Run all in turn in several rounds, after a warm-up round."""
    results: dict[str, list[Round]] = {name: [] for name in workers}
    for number in range(rounds + 1):
        for name, worker in workers.items():
            log(f"round {number} of {rounds}: {name}" if number else f"warming up: {name}")
            result = worker.train(60 * minutes if number else 120)
            if number:
                results[name].append(result)
                log(f"    {speed(result):.0f} s/s, loss {result.loss:.2f}")
    return results


def speed(result: Round) -> float:
    """Seconds of recordings per second of processor time."""
    return result.audio_seconds / result.seconds


def ratio(ours: Sequence[Round], others: Sequence[Round]) -> float:
    """Our speed relative to another's: the median of the rounds' ratios."""
    return median(speed(a) / speed(b) for a, b in zip(ours, others, strict=True))


def markdown(parameters: dict[str, int], results: dict[str, list[Round]]) -> str:
    """Each trainer's speed, and ours relative to it."""
    rows = []
    for name, rounds in results.items():
        speeds = [speed(result) for result in rounds]
        spread = f"{min(speeds):.0f} to {max(speeds):.0f}"
        beside = f"{ratio(results[OURS], rounds):.2f}"
        rows.append((name, f"{parameters[name]:,}", f"{median(speeds):.0f}", spread, beside))
    return table(("trainer", "parameters", "s/s", "rounds", "ours is times as fast"), rows)


def markdown_with_features(copies: int, cost: float, results: dict[str, list[Round]]) -> str:
    """Our speed including the features, which are computed once per copy, by the number of epochs of a run.

    `cost` is seconds per second of audio. The others compute theirs in each epoch.
    """
    others = [name for name in results if name not in (OURS, CEILING)]
    rows = []
    for epochs in EPOCHS:
        share = cost * min(epochs, copies) / epochs
        ours = [replace(result, seconds=result.seconds + share * result.audio_seconds) for result in results[OURS]]
        beside = [f"{ratio(ours, results[name]):.2f}" for name in others]
        rows.append((epochs, f"{median(map(speed, ours)):.0f}", *beside))
    return table(("epochs", "s/s, features included", *(f"times {name}" for name in others)), rows)


def main(options: Options) -> None:
    """Run everything and print it."""
    options = choose(options)
    for kind in KINDS:
        if names := missing(kind):
            log(f"{kind}: left out, as {', '.join(names)} is not installed (see benchmarks/README.md)")
    with tempfile.TemporaryDirectory() as folder:
        recipe = make_recipe(options, Path(folder))
        workers = {kind: Worker(kind, recipe) for kind in KINDS if not missing(kind)}
        results = run_rounds(workers, options.minutes, options.rounds)
        for worker in workers.values():
            worker.close()
    copies, cost = recipe.augment.copies, workers[OURS].feature_cost
    print(f"{processor()}\n")
    print(markdown({name: worker.parameters for name, worker in workers.items()}, results))
    print(f"\nSpeed of our whole loop relative to the LSTM alone: {ratio(results[OURS], results[CEILING]):.0%}")
    print(f"Our features are computed at {1 / cost:.0f} s/s, once for each of {copies} copies:\n")
    print(markdown_with_features(copies, cost, results))


if __name__ == "__main__":
    start(main, Options, __doc__)
