"""Cross-validation: a model per fold, trained on the others, and one evaluation of all utterances."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.config import Recipe, load_recipe
from asr.data.division import split_by_utterance
from asr.data.manifest import Utterance, read_manifest, split_by_speaker, write_manifest
from asr.data.survey import survey
from asr.decoding.config import load_decoder
from asr.errors import ConfigError
from asr.evaluation.config import EvaluateConfig
from asr.evaluation.evaluate_model import correct_durations
from asr.evaluation.metrics import Evaluation, evaluate
from asr.evaluation.report import write_report
from asr.evaluation.rival import train_best_on, with_rival
from asr.evaluation.terminal import percent, summary_text
from asr.recognition.batch import recognize_utterances
from asr.recognition.recognizer import Recognizer
from asr.text.config import TextConfig
from asr.training.choices import choose, chosen_recipe
from asr.utils.extras import require
from asr.utils.messages import tell

DEV_SHARE = 0.1


@dataclass(frozen=True)
class CrossValidation:
    """The evaluation of all folds together, and its report."""

    evaluation: Evaluation
    report: Path

    def to_text(self) -> str:
        """The result for a terminal."""
        return f"{summary_text(self.evaluation)}\n\nreport       {self.report}"


def cross_validate(manifest: Path, output: Path, config: EvaluateConfig) -> CrossValidation:
    """Train a model per fold in `output/fold-N`, recognise the fold with it, and write one report into `output`.

    Without a recipe, that of `asr init` is taken. A finished fold is not trained again, so that the same command
    resumes. Raises `ConfigError` for fewer than two folds.
    """
    require("jinja2")
    utterances = read_manifest(manifest)
    folds = make_folds(utterances, config.folds, config.fold_count)
    recipe = load_recipe(config.recipe) if config.recipe else chosen_recipe(choose(survey(utterances, TextConfig())))
    recipes = with_rival(recipe)
    pairs, failures, seconds, rates, decoder, text = [], [], 0.0, [], "", recipe.text
    for number, test in enumerate(folds, start=1):
        tell(f"fold {number} of {len(folds)}: {len(test)} of {len(utterances)} utterances to test")
        model = _train(recipes, utterances, test, output / f"fold-{number}", config.folds == "utterance")
        search = load_decoder(model)
        run = config.run
        recognizer = Recognizer.load(model, run.device, search, run.precision, run.voice_activity)
        found = recognize_utterances(recognizer, test, run.batch_seconds)
        pairs += found.pairs
        failures += found.failures
        seconds += found.compute_seconds
        decoder, text = search.describe(), recognizer.file.text
        rates.append(evaluate(found.pairs, text=text, model=model.name, manifests=[manifest.name]).words.rate)
    pairs, notes = correct_durations(pairs)
    shown = ", ".join(map(percent, rates))
    evaluation = evaluate(
        pairs,
        text=text,
        decoder=decoder,
        model=f"{len(folds)} models",
        manifests=[manifest.name],
        alignment=config.alignment,
        compute_seconds=seconds,
        failures=failures,
        notes=[f"cross-validation, {len(folds)} folds by {config.folds}, a model each: WER {shown}", *notes],
    )
    return CrossValidation(evaluation, write_report(output, evaluation)[-1])


def make_folds(utterances: Sequence[Utterance], by: str, count: int, seed: int = 0) -> list[list[Utterance]]:
    """At most `count` parts with about the same amount of speech, so that no speaker ('speaker') or utterance is in
    two of them.

    By utterance, they are marked as such where they name a speaker. The result does not depend on the order. Raises
    `ConfigError` for fewer than two.
    """
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in sorted(utterances, key=lambda each: each.id):
        if by == "speaker" and not utterance.speaker:
            raise ConfigError(f"--folds speaker: '{utterance.id}' names no speaker; use --folds utterance")
        groups[utterance.speaker if by == "speaker" else utterance.id].append(utterance)
    if len(groups) < 2:
        raise ConfigError(f"--folds {by}: only one {by} in the manifest; two or more are needed")
    names = sorted(groups)
    random.Random(seed).shuffle(names)
    seconds = {name: sum(utterance.duration for utterance in groups[name]) for name in names}
    folds: list[list[Utterance]] = [[] for _ in range(min(count, len(groups)))]
    filled = [0.0] * len(folds)
    for name in sorted(names, key=lambda name: -seconds[name]):  # the longest first, into the emptiest fold
        place = filled.index(min(filled))
        folds[place] += groups[name]
        filled[place] += seconds[name]
    if by == "utterance":
        return [[u.marked_by_utterance() if u.speaker else u for u in fold] for fold in folds]
    return folds


def _train(
    recipes: Sequence[Recipe],
    utterances: Sequence[Utterance],
    test: Sequence[Utterance],
    folder: Path,
    by_utterance: bool,
) -> Path:
    """The model of a fold, with its decoder; train and dev are divided as the folds are."""
    tested = {utterance.id for utterance in test}
    rest = [utterance for utterance in utterances if utterance.id not in tested]
    parts = (split_by_utterance if by_utterance else split_by_speaker)(rest, {"dev": DEV_SHARE})
    train, dev = (write_manifest(folder / f"{name}.jsonl", parts[name]) for name in ("train", "dev"))
    return train_best_on(recipes, folder, train, dev)
