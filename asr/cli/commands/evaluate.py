"""Commands that measure and compare recognition."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from asr.cli.arguments import ModelOrEnglish, Options, OutputFolder
from asr.cli.model_defaults import decoder_defaults
from asr.cli.subcommands import Command, Group
from asr.errors import ConfigError, one_line
from asr.evaluation.config import CompareConfig, EvaluateConfig, ScoreConfig
from asr.pretrained import ENGLISH
from asr.utils.config_io import shown_default, validate
from asr.utils.messages import tell
from asr.utils.storage import shown


def evaluate(
    manifest: Annotated[Path, Positional, arg(metavar="MANIFEST")],
    options: Annotated[EvaluateConfig, Options],
    model: ModelOrEnglish = ENGLISH,
    output: OutputFolder = None,
) -> int:
    """Measure the WER of a model on recordings with transcripts.

    The report adds confidence intervals, breakdowns and the worst utterances.

    Args:
        manifest: Test set written by `asr prepare`.
        model: Model file written by `asr train`.
        output: Folder for report.json, report.md and report.html. Without it, only standard output.
    """
    from asr.evaluation.evaluate_model import assess

    options = validate(options, "options")
    if options.where.engine == "ray" and (options.folds != "none" or options.learning_curve):
        raise ConfigError("--engine ray evaluates a model; leave it out with --folds and --learning_curve")
    if options.folds != "none":
        folder = _folder_for_models(f"--folds {options.folds}", "report", model, output)
        from asr.evaluation.folds import cross_validate

        validation = cross_validate(manifest, folder, options)
        print(validation.to_text())
        return 0 if validation.evaluation.complete else 1
    if options.learning_curve:
        folder = _folder_for_models("--learning_curve", "curve", model, output)
        from asr.evaluation.learning_curve import learning_curve

        print(learning_curve(manifest, folder, options).to_text())
        return 0
    assessment = assess(manifest, model, output, options)
    print(assessment.to_text())
    for utterance, reason in assessment.evaluation.failures:
        tell(f"{utterance}: {reason}")
    return 0 if assessment.evaluation.complete else 1


def _folder_for_models(option: str, result: str, model: Path, output: Path | None) -> Path:
    """The output folder of an option that trains models of its own, for them and the result."""
    if output is None:
        raise ConfigError(f"{option}: needs --output, a folder for the models and the {result}")
    if model != ENGLISH:
        raise ConfigError(f"{option} trains its own models: leave out --model {model}")
    return output


def score(
    reference: Annotated[Path, Positional, arg(metavar="REF")],
    hypothesis: Annotated[Path, Positional, arg(metavar="HYP")],
    options: Annotated[ScoreConfig, Options],
    output: OutputFolder = None,
) -> int:
    """Measure the WER of any recogniser's transcripts.

    The report is the same as that of `asr evaluate`.

    Args:
        reference: References: a manifest or other JSON Lines, NIST's CTM, STM or TRN, Kaldi's `text`, or plain lines.
        hypothesis: Hypotheses, in any of the same formats.
        output: Folder for report.json, report.md and report.html. Without it, only standard output.
    """
    from asr.evaluation.report import write_report
    from asr.evaluation.terminal import summary_text
    from asr.evaluation.transcript_files import score_files

    evaluation = score_files(reference, hypothesis, validate(options, "options"))
    print(summary_text(evaluation))
    if output:
        print(f"report       {one_line(shown(write_report(output, evaluation)[-1]))}")
    return 0 if evaluation.complete else 1


def compare(
    first: Annotated[Path, Positional, arg(metavar="REPORT_A")],
    second: Annotated[Path, Positional, arg(metavar="REPORT_B")],
    options: Annotated[CompareConfig, Options],
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="PAGE.html", help_behavior_hint=shown_default)] = None,
) -> int:
    """Compare two systems on one test set, with significance tests.

    Args:
        first: The report.json of `asr evaluate` or `asr score` for system A.
        second: The report.json for system B.
        output: HTML page for the comparison. Without it, only standard output.
    """
    from rich.console import Console

    from asr.evaluation.comparison import compare as compare_reports
    from asr.evaluation.comparison import comparison_page, comparison_text
    from asr.utils.files import write_atomically

    comparison = compare_reports(first, second)
    console = Console(highlight=False, soft_wrap=True)
    console.print(comparison_text(comparison, validate(options, "options").examples), end="")
    if output:
        print(f"\npage         {one_line(shown(write_atomically(output, comparison_page(comparison))))}")
    return 1 if comparison.left_out else 0


def _evaluate_defaults(arguments: Sequence[str]) -> EvaluateConfig:
    return EvaluateConfig(search=decoder_defaults(arguments))


GROUP = Group(
    "Evaluate",
    {"evaluate": Command(evaluate, _evaluate_defaults), "score": Command(score), "compare": Command(compare)},
)
