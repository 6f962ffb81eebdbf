"""Accuracy of a family: training and scoring a run, and WER by length of the recording."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jiwer
from sounds import load_sounds

from asr.config import Recipe
from asr.decoding.config import DecoderConfig, load_decoder
from asr.evaluation.config import EvaluateConfig, TuneConfig

#: A coarse grid of weights for a narrow beam, then a finer one around the best; the final beam is wider.
TUNING = TuneConfig(grid=3, rounds=1, most_word_bonus=1.0, beams=(1024,))


@dataclass(frozen=True)
class Trained:
    """A training run, finished or tried for a few epochs."""

    model: str  # path of the model file
    dev_error: float  # PER if the model has phones, else WER; greedy
    loss: float  # nats per token in the last epoch


@dataclass(frozen=True)
class Accuracy:
    """A trained model, measured on the test recordings. Rates are fractions."""

    wer: float
    low: float  # of the 95% interval over speakers, over utterances where there are none
    high: float
    cer: float
    dev_wer: float  # greedy
    errors: list[int]  # word errors per utterance
    words: list[int]  # reference words per utterance
    speakers: list[str]
    layers: int
    width: int
    parameters: int
    megabytes: float  # of the model file
    hours: float  # of training speech
    steps: int
    learning_rate: float
    dev_per: float | None = None  # of the phones, greedy; None without them
    greedy_wer: float | None = None  # on the test recordings, where `wer` is with a language model
    decoder: str = "greedy"  # with its weights


@dataclass(frozen=True)
class LengthCurve:
    """WER by length of the recording."""

    seconds: list[float]
    wer: list[float]


def train_run(recipe: Recipe, until: int | None = None) -> Trained:
    """Train a recipe, or resume it; with `until`, only as far as that epoch. At too high a learning rate, which ends in
    NaN, the dev error is infinite."""
    from asr.errors import TrainingError
    from asr.model.model_file import load_model
    from asr.training.run_folder import RunFolder
    from asr.training.trainer import train

    folder = RunFolder(recipe)
    try:
        path = train(recipe, until)
    except TrainingError:
        if not folder.bad_batch.exists():
            raise
        return Trained(str(folder.model), math.inf, math.inf)
    records = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    last = [record for record in records if record["kind"] == "epoch"][-1]
    record = load_model(path).training if path.exists() else last
    return Trained(str(path), record.get("dev_per", record["dev_wer"]), last["loss"])


def score(recipe: Recipe, test: Path, search: DecoderConfig) -> Accuracy:
    """Measure the trained model of a recipe. The weights of a search with a language model are tuned on dev first, and
    kept beside the model."""
    from asr.evaluation.evaluate_model import assess
    from asr.evaluation.tuning import tune
    from asr.model.model_file import load_model

    path = recipe.output / "model.safetensors"
    file, greedy_wer = load_model(path), None
    if not search.is_greedy:
        tune(recipe.data.dev[0], path, replace(TUNING, search=search))
        greedy = assess(test, path, None, EvaluateConfig(search=DecoderConfig(decoder="greedy")))
        search, greedy_wer = load_decoder(path), greedy.evaluation.words.rate
    evaluation = assess(test, path, None, EvaluateConfig(search=search)).evaluation
    low, high = evaluation.interval or (evaluation.words.rate, evaluation.words.rate)
    return Accuracy(
        evaluation.words.rate,
        low,
        high,
        evaluation.characters.rate,
        file.training["dev_wer"],
        [item.words.errors for item in evaluation.scored],
        [item.words.reference for item in evaluation.scored],
        [item.utterance.speaker or item.utterance.id for item in evaluation.scored],
        file.architecture.layers,
        file.architecture.width,
        file.parameter_count,
        path.stat().st_size / 1e6,
        file.training["hours"],
        file.training["steps"],
        recipe.training.learning_rate,
        file.training.get("dev_per"),
        greedy_wer,
        search.describe(),
    )


def difference(one: Accuracy, other: Accuracy) -> tuple[float, float] | None:
    """95% interval of the difference of two WERs on the same recordings: paired bootstrap over speakers (Bisani & Ney
    2004)."""
    from asr.evaluation.bootstrap import bootstrap

    errors = [a - b for a, b in zip(one.errors, other.errors, strict=True)]
    return bootstrap(errors, one.words, one.speakers)


def wer_by_length(model: Path, test: Path, joins: Sequence[int]) -> LengthCurve:
    """WER for the same words in longer and longer recordings: test recordings of one speaker, joined."""
    from asr.model.padding import plan_in_order
    from asr.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(model, "cpu")
    curve = LengthCurve([], [])
    for join in joins:
        sounds = load_sounds(test, recognizer.sample_rate, recognizer.file.text, join)
        seconds = [len(sound.samples) / recognizer.sample_rate for sound in sounds]
        references, hypotheses = [], []
        for indices in plan_in_order(seconds, 120.0):
            references += [sounds[index].text for index in indices]
            transcripts = recognizer.recognize([sounds[index].samples for index in indices])
            hypotheses += [transcript.text for transcript in transcripts]
        curve.seconds.append(sum(seconds) / len(seconds))
        curve.wer.append(jiwer.wer(references, hypotheses))
    return curve
