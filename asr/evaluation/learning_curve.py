"""Learning curve: WER by the amount of training data, and what twice the data would bring."""

import dataclasses
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.config import load_recipe
from asr.data.manifest import Utterance, read_manifest, read_manifests, total_hours, write_manifest
from asr.decoding.config import load_decoder
from asr.errors import ConfigError
from asr.evaluation.alignment import ErrorCounts
from asr.evaluation.config import EvaluateConfig
from asr.evaluation.metrics import evaluate
from asr.evaluation.rival import train_best_on, with_rival
from asr.evaluation.terminal import percent
from asr.recognition.batch import recognize_utterances
from asr.recognition.recognizer import Recognizer
from asr.utils.files import write_atomically
from asr.utils.messages import tell

SHARES = (0.25, 0.5, 1.0)  # of the training utterances, each a part of the next


@dataclass(frozen=True)
class Point:
    """A model of a share of the training data."""

    utterances: int
    minutes: float
    per_word: float  # recordings of each word on average
    words: ErrorCounts


@dataclass(frozen=True)
class LearningCurve:
    """WER by minutes of training speech."""

    points: tuple[Point, ...]
    path: Path  # learning_curve.json

    def to_text(self) -> str:
        """The curve for a terminal, and the prediction."""
        lines = [
            f"{point.minutes:8.1f} min  {point.utterances:7,} utterances  {point.per_word:6.1f} of each word  "
            f"WER {percent(point.words.rate)} ({point.words.errors} of {point.words.reference})"
            for point in self.points
        ]
        last = self.points[-1]
        double = percent(predict(self.points, 2 * last.minutes))
        return "\n".join([*lines, f"{2 * last.minutes:8.1f} min  predicted WER {double}", f"written      {self.path}"])


def learning_curve(manifest: Path, output: Path, config: EvaluateConfig) -> LearningCurve:
    """Train by a recipe on shares of its training data, in folders of `output`, and evaluate each model on a manifest.

    The shares are random but fixed. A finished model is not trained again, so that the same command resumes. Raises
    `ConfigError` without a recipe.
    """
    if not config.recipe:
        raise ConfigError("--learning_curve needs --recipe, whose training data are divided")
    recipes, tested = with_rival(load_recipe(config.recipe)), read_manifest(manifest)
    utterances = sorted(read_manifests(recipes[0].data.train), key=lambda each: each.id)
    random.Random(0).shuffle(utterances)
    points = []
    for share in SHARES:
        part = utterances[: max(1, round(share * len(utterances)))]
        folder = output / f"share-{share:g}"
        train = write_manifest(folder / "train.jsonl", part)
        tell(f"{len(part)} of {len(utterances)} training utterances")
        model = train_best_on(recipes, folder, train)
        run, search = config.run, load_decoder(model)
        recognizer = Recognizer.load(model, run.device, search, run.precision, run.voice_activity)
        found = recognize_utterances(recognizer, tested, run.batch_seconds)
        words = evaluate(found.pairs, text=recognizer.file.text, model=model.name, manifests=[manifest.name]).words
        points.append(_point(part, words))
    values = [dataclasses.asdict(point) | {"wer": point.words.rate} for point in points]
    double = 2 * points[-1].minutes
    record = {"manifest": manifest.name, "points": values, "predicted": [double, predict(points, double)]}
    path = write_atomically(output / "learning_curve.json", json.dumps(record, indent=1) + "\n")
    return LearningCurve(tuple(points), path)


def predict(points: Sequence[Point], minutes: float) -> float:
    """The WER for an amount of training speech, by a power law (Hestness et al. 2017) through the points.

    Half an error is added to each, so that a point without errors has a logarithm, and points weigh by their errors.
    The law never rises: more data of the same kind do no harm.
    """
    errors = np.array([point.words.errors + 0.5 for point in points])
    rates = np.log(errors / [point.words.reference for point in points])
    amounts = np.log([point.minutes for point in points])
    slope, offset = np.polyfit(amounts, rates, 1, w=np.sqrt(errors))
    if slope > 0:
        slope, offset = 0.0, float(np.average(rates, weights=errors))
    return float(np.exp(offset + slope * np.log(minutes)))


def _point(utterances: Sequence[Utterance], words: ErrorCounts) -> Point:
    spoken = [word for utterance in utterances for word in utterance.text.split()]
    return Point(len(utterances), 60 * total_hours(utterances), len(spoken) / len(set(spoken)), words)
