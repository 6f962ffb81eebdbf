"""What recurrence buys: every encoder family on the same speech, with the same numbers of parameters and steps.

    python recipes/architectures/study.py            the embedded corpus, which `make architectures` prepares
    python recipes/architectures/study.py --quick    a small version, to see it work

trains all families, measures them, and writes report.html, report.md and expected.json. Rerun the same command to
resume. Everything runs on the CPU, each run on one thread, so that times are comparable.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: two runs of two threads each would slow each other down

import tyro
from accuracy import Accuracy, LengthCurve, train_and_score, wer_by_length
from exploding import Excursion, learn_too_fast
from jobs import Job, run_all
from parallelism import Speed, measure_speed
from partial import Partial, measure_partial
from plan import FAMILIES, QUICK, Plan, Recipes, Run
from reach import Reach, measure_reach
from results import Results

from asr.config import load_recipe
from asr.data.manifest import read_manifest, total_hours
from asr.errors import AsrError
from asr.training.run_log import environment
from asr.utils.config_io import Positive, validate

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
    plan: Plan = field(default_factory=Plan)
    #: A small version with a plan of its own, to see it work in minutes; its WERs mean nothing.
    quick: bool = False
    #: Parallel runs, each on one thread.
    processes: Positive = 2


def study(options: Options) -> list[Path]:
    """Train, measure and write the report; returns its files."""
    from page import write_report  # not at the top: processes that only train need no plots

    plan, output = (QUICK, options.output / "quick") if options.quick else (options.plan, options.output)
    recipe = load_recipe(options.recipe)
    data = replace(recipe.data, train=options.train or recipe.data.train, dev=options.dev or recipe.data.dev)
    recipes = Recipes(replace(recipe, data=data), plan, output)
    tested = read_manifest(options.test, check_audio=True)
    tried = [Run(family, rate_share=share) for family in FAMILIES for share in plan.rate_shares]
    further = len(FAMILIES) * (len(plan.minutes) + bool(plan.small_share))
    tell(f"{len(tried) + further} runs of {recipes.parameters:,} parameters and about {recipes.steps:,} steps")

    def train(runs: list[Run]) -> dict[Run, Accuracy]:
        jobs = [training_job(recipes, run, options.test) for run in runs]
        return dict(zip(runs, run_all(jobs, options.processes), strict=True))

    accuracy = train(tried)
    best = {family: _best(family, accuracy) for family in FAMILIES}
    less = {minutes: [replace(run, minutes=minutes) for run in best.values()] for minutes in plan.minutes}
    small = [replace(run, small=True) for run in best.values() if plan.small_share]
    accuracy |= train([*(run for group in less.values() for run in group), *small])
    return write_report(
        output,
        Results(
            title=f"{recipes.hours:.2f} h of {'synthetic ' if tested[0].synthetic else ''}speech "
            f"({', '.join(path.stem for path in data.train)})",
            synthetic=any(utterance.synthetic for utterance in tested),
            quick=options.quick,
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


def _best(family: str, accuracy: dict[Run, Accuracy]) -> Run:
    """The run of the family with the lowest dev WER."""
    return min((run for run in accuracy if run.family == family), key=lambda run: accuracy[run].dev_wer)


def training_job(recipes: Recipes, run: Run, test: Path) -> Job:
    """Train a run and score it."""
    recipe = recipes.recipe(run)
    return Job(f"trained {run.name}", recipe.output / "accuracy.json", Accuracy, train_and_score, (recipe, test))


def measure(recipes: Recipes, options: Options, best: dict[str, Run]) -> dict[str, dict[str, Any]]:
    """Everything but WER, by name in the results and by family."""
    jobs = {family: measuring_jobs(recipes, best[family], options.test) for family in FAMILIES}
    done = iter(run_all([job for own in jobs.values() for job in own.values()], options.processes))
    measured = {family: {name: next(done) for name in own} for family, own in jobs.items()}
    return {name: {family: measured[family][name] for family in FAMILIES} for name in jobs[FAMILIES[0]]}


def measuring_jobs(recipes: Recipes, run: Run, test: Path) -> dict[str, Job]:
    """The measurements of a family besides its WER."""
    plan, recipe = recipes.plan, recipes.recipe(run)
    model, folder = recipe.output / "model.safetensors", recipe.output
    little = recipes.recipe(replace(run, minutes=plan.minutes[0]))
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
