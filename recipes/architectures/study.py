"""What recurrence buys: every encoder family on the same speech, with the same numbers of parameters and steps.

    python recipes/architectures/study.py            the synthetic corpus, which `make architectures` prepares
    python recipes/architectures/study.py --quick    a small version, to see it work

trains all families, measures them, and writes report.html, report.md and expected.json. Rerun the same command to
resume. Everything is measured on the CPU, each run on one thread, so that times are comparable; `--device cuda`
trains on a GPU, all runs at once.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: two runs of two threads each would slow each other down

import tyro
from accuracy import Accuracy, LengthCurve, Trained, score, train_run, wer_by_length
from exploding import Excursion, learn_too_fast
from fit import Pace, epochs_within, measure_pace
from jobs import Job, run_all
from parallelism import Speed, measure_speed
from partial import Partial, measure_partial
from plan import QUICK, Plan, Recipes, Run
from reach import Reach, measure_reach
from results import Results

from asr.config import Recipe, load_recipe
from asr.data.manifest import read_manifest, total_hours
from asr.decoding.config import BeamConfig, DecoderConfig
from asr.errors import AsrError
from asr.training.run_log import environment
from asr.utils.config_io import NotNegativeReal, Positive, validate

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@dataclass(frozen=True)
class Options:
    """What recurrence buys: a comparison of the encoder families."""

    #: Recipe of the default family; the others differ in the encoder only.
    recipe: Path = HERE / "config.toml"
    #: Training manifests. Empty: the recipe's.
    train: tuple[Path, ...] = ()
    #: Dev manifests. Empty: the recipe's.
    dev: tuple[Path, ...] = ()
    #: Test manifest, of speakers that are in neither of the others.
    test: Path = ROOT / "data/digits/corpus/test.jsonl"
    #: Folder for models, measurements and the report; --quick uses its subfolder quick.
    output: Path = ROOT / "data/architectures"
    #: N-gram language model to decode with; the weights are tuned on dev for each family. Without it: greedy decoding.
    lm: Path | None = None
    #: Lexicon of that search.
    words: Path | None = None
    plan: Plan = field(default_factory=Plan)
    #: A small version with a plan of its own, to see it work in minutes; its WERs mean nothing.
    quick: bool = False
    #: Device to train on.
    device: Literal["cpu", "cuda"] = "cpu"
    #: Seconds of wall-clock time in which all the speech must be learnt, every run at once: chooses the number of
    #: epochs after timing two. 0: the recipe's epochs.
    train_seconds: NotNegativeReal = 0.0
    #: End after training, and print the model files: the same command without this option measures them elsewhere.
    only_train: bool = False
    #: Parallel runs, each on one thread. On a GPU: all of them.
    processes: Positive = 2


def study(options: Options) -> list[Path]:
    """Train, measure and write the report; returns its files."""
    started = time.monotonic()
    from page import write_report  # not at the top: processes that only train need no plots

    plan, output = (QUICK, options.output / "quick") if options.quick else (options.plan, options.output)
    recipe = load_recipe(options.recipe)
    data = replace(recipe.data, train=options.train or recipe.data.train, dev=options.dev or recipe.data.dev)
    recipes = Recipes(replace(recipe, data=data), plan, output, options.device)
    tried = [
        Run(family, rate_share=share * plan.family_shares.get(family, 1.0))
        for family in plan.families
        for share in plan.rate_shares
    ]
    if options.train_seconds:
        recipes.epochs = epochs_within(*time_left(recipes, tried, options, started))
    further = len(plan.families) * (len(plan.minutes) + bool(plan.small_share))
    tell(f"{len(tried) + further} runs of {recipes.parameters:,} parameters and about {recipes.steps:,} steps")

    def train(runs: list[Run]) -> dict[Run, Trained]:
        return dict(zip(runs, run_all([training_job(recipes, run) for run in runs], options.processes), strict=True))

    if plan.trial_epochs:
        trials = [trial_job(recipes, run) for run in tried]
        tried = _best(dict(zip(tried, run_all(trials, options.processes), strict=True)))
    trained = train(tried)
    best = {run.family: run for run in _best(trained)}
    if options.only_train:
        return [Path(trained[run].model) for run in best.values()]
    less = {minutes: [replace(run, minutes=minutes) for run in best.values()] for minutes in plan.minutes}
    small = [replace(run, small=True) for run in best.values() if plan.small_share]
    further_runs = [*(run for group in less.values() for run in group), *small]
    train(further_runs)
    tested = read_manifest(options.test, check_audio=True)
    scored = [*best.values(), *further_runs]
    jobs = [scoring_job(recipes, run, options) for run in scored]
    accuracy = dict(zip(scored, run_all(jobs, options.processes), strict=True))
    return write_report(
        output,
        Results(
            title=f"{recipes.hours:.2f} h of {'synthetic ' if tested[0].synthetic else ''}speech "
            f"({', '.join(path.stem for path in data.train)})",
            synthetic=any(utterance.synthetic for utterance in tested),
            quick=options.quick,
            trial_epochs=plan.trial_epochs,
            command=" ".join(["python", os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]]),
            environment=environment(),
            dev_manifest=os.path.relpath(data.dev[0], ROOT / "data"),
            frame_seconds=recipe.frame_seconds,
            test_minutes=60 * total_hours(tested),
            accuracy={run.family: accuracy[run] for run in best.values()},
            less={minutes: {run.family: accuracy[run] for run in group} for minutes, group in less.items()},
            small={run.family: accuracy[run] for run in small},
            **measure(recipes, options, best),
        ),
    )


def _best(trained: dict[Run, Trained]) -> list[Run]:
    """Each family's run with the fewest errors on dev; with as many, such as 100%, that with the lowest loss."""

    def rank(run: Run) -> tuple[float, float]:
        return trained[run].dev_error, trained[run].loss

    families = dict.fromkeys(run.family for run in trained)
    return [min((run for run in trained if run.family == family), key=rank) for family in families]


def time_left(recipes: Recipes, runs: list[Run], options: Options, started: float) -> tuple[float, list[Pace]]:
    """Seconds left for training, and the pace of each run, all at once."""
    keep_features(recipes.recipe(runs[0]))
    jobs = [pace_job(recipes, run) for run in runs]
    paces = run_all(jobs, options.processes)
    return options.train_seconds - (time.monotonic() - started), paces


def keep_features(recipe: Recipe) -> None:
    """Compute the features of training and dev speech before the runs, each of which would do it otherwise."""
    from asr.data.dataset import load_corpora
    from asr.data.feature_cache import CorpusFeatures

    assert recipe.training.cache
    train, dev, _ = load_corpora(recipe)
    for corpus, *changes in ((train, recipe.augment, recipe.training.seed), (dev,)):
        features = CorpusFeatures(corpus.utterances, recipe.features, *changes)
        features.cache(recipe.training.cache, recipe.training.cache_gigabytes, tell)


def pace_job(recipes: Recipes, run: Run) -> Job:
    """Time a run."""
    folder = recipes.output / "pace" / run.name
    return Job(f"timed {run.name}", folder / "pace.json", Pace, measure_pace, (recipes.recipe(run), recipes.hours))


def trial_job(recipes: Recipes, run: Run) -> Job:
    """Train a run for its first epochs."""
    recipe, epochs = recipes.recipe(run), recipes.plan.trial_epochs
    return Job(f"tried {run.name}", recipe.output / "trial.json", Trained, train_run, (recipe, epochs))


def training_job(recipes: Recipes, run: Run) -> Job:
    """Train a run."""
    recipe = recipes.recipe(run)
    return Job(f"trained {run.name}", recipe.output / "trained.json", Trained, train_run, (recipe,))


def scoring_job(recipes: Recipes, run: Run, options: Options) -> Job:
    """Measure a trained run."""
    recipe, beam = recipes.recipe(run), BeamConfig(beam=256, beam_nats=12.0, prior_scale=0.3, open_vocabulary=False)
    search = DecoderConfig(lm=str(options.lm), lexicon=options.words, beam=beam) if options.lm else DecoderConfig()
    return Job(f"scored {run.name}", recipe.output / "accuracy.json", Accuracy, score, (recipe, options.test, search))


def measure(recipes: Recipes, options: Options, best: dict[str, Run]) -> dict[str, dict[str, Any]]:
    """Everything but WER, by name in the results and by family."""
    jobs = {family: measuring_jobs(recipes, run, options.test) for family, run in best.items()}
    done = iter(run_all([job for own in jobs.values() for job in own.values()], options.processes))
    measured = {family: {name: next(done) for name in own} for family, own in jobs.items()}
    return {name: {family: own[name] for family, own in measured.items()} for name in jobs["lstm"]}


def measuring_jobs(recipes: Recipes, run: Run, test: Path) -> dict[str, Job]:
    """The measurements of a family besides its WER."""
    plan, recipe = recipes.plan, recipes.recipe(run)
    model, folder = recipe.output / "model.safetensors", recipe.output
    little = recipes.recipe(replace(run, minutes=min(plan.minutes, default=10.0)))
    little = replace(little, training=replace(little.training, batch_seconds=plan.step_seconds))
    mean_seconds = 3600 * recipes.hours / len(recipes.utterances)

    def job(name: str, kind: type, work: Callable, *arguments: object) -> Job:
        return Job(f"measured {run.family}: {name}", folder / f"{name}.json", kind, work, arguments)

    return {
        "speed": job("speed", Speed, measure_speed, recipe, recipes.tokens, plan.seconds, plan.rounds, mean_seconds),
        "reach": job("reach", Reach, measure_reach, model, test, plan.reach_seconds, plan.reach_clips),
        "length": job("length", LengthCurve, wer_by_length, model, test, plan.joins),
        "partial": job("partial", Partial, measure_partial, model, test, plan.looks, plan.partial_utterances),
        "clipped": job("clipped", Excursion, learn_too_fast, little, plan.high_rate, plan.steps, True),
        "free": job("free", Excursion, learn_too_fast, little, plan.high_rate, plan.steps, False),
    }


def tell(message: str) -> None:
    """Print a line to stderr."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        for path in study(
            validate(tyro.cli(Options, description=__doc__, config=(tyro.conf.OmitArgPrefixes,)), "options")
        ):
            print(path)
    except AsrError as error:
        tell(f"error: {error}")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        tell("stopped; rerun the same command to resume")
        sys.exit(130)
