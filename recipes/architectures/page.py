"""The report: an HTML page with plots, Markdown with the tables, `expected.json` with the figures."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import charts
import findings
from findings import NAMES, contests
from parallelism import growth
from results import Results

from asr.evaluation.terminal import percent
from asr.utils.files import write_atomically
from asr.utils.html import render

Row = Sequence[object]


@dataclass(frozen=True)
class Table:
    """A header and rows; the first column is text, the others are figures."""

    head: Row
    rows: list[Row]


@dataclass(frozen=True)
class Section:
    """One question of the report."""

    title: str
    how: str  # the method
    found: list[str]
    plot: str = ""  # a data URL
    table: Table | None = None


def sections(results: Results, draw: bool = True) -> Iterator[Section]:
    """The report's questions, in order, with plots if `draw`."""

    def plot(chart: Callable[[Results], str]) -> str:
        return chart(results) if draw else ""

    after = f" after {results.trial_epochs} epochs" if results.trial_epochs else ""
    yield Section(
        "Accuracy, size and speed",
        "Every family has about the same number of parameters and is trained on the same speech for the same number of "
        f"steps, at the learning rate (of those tried) with the fewest errors on dev{after}. WER on unseen speakers, "
        f"{decoding(results)}; bars show the 95% interval over speakers for one training run. Speeds are seconds of "
        "audio per second on one CPU thread.",
        findings.accuracy(results),
        plot(charts.accuracy),
        families(results),
    )
    yield Section("Where the LSTM wins, and where it does not", "", findings.lstm(results), table=winners(results))
    yield Section(
        "Parallelism: time against length",
        "One utterance, one thread, CPU time of the fastest of several rounds; the network without the CTC loss, which "
        "costs every family the same. The exponent p of time = a * length^p is fitted over the longer half of the "
        "lengths.",
        findings.parallelism(results),
        plot(charts.parallelism),
        lengths(results),
    )
    yield Section(
        "Memory: how far an output depends on the input",
        "Gradient of the output at the middle of an excerpt of test speech with respect to the input at every other "
        "time: root mean square over several excerpts and random directions of the output, relative to the largest.",
        findings.memory(results),
        plot(charts.reach),
    )
    yield Section(
        "Memory: WER against length",
        "The same test recordings one by one, and several of one speaker joined: the same words in recordings longer "
        "than any in training.",
        findings.length(results),
        plot(charts.length),
    )
    yield Section(
        "Exploding gradients",
        "Plain gradient descent from the same initial weights at a learning rate that is too high, with the recipe's "
        "gradient clipping and without; a cross marks a loss that became NaN or infinite. (AdamW, which trains "
        "everything else here, divides by the gradient's usual size and so hides explosions from the weights.)",
        findings.exploding(results),
        plot(charts.exploding),
        explosions(results),
    )
    yield Section(
        "Live transcription",
        "The first test recordings (`--partial_utterances`), recognised incrementally by greedy decoding. Left: frames "
        "are final once their look-ahead has arrived; a diamond is the WER for the whole recordings. Right: everything "
        "so far is recognised again each time. No family was trained for this: models that are not causal have never "
        "seen speech break off.",
        findings.partial(results),
        plot(charts.partial),
        example(results),
    )
    if results.less or results.small:
        yield Section(
            "Small data, small models",
            "The same number of steps on less speech; and a smaller model on all of the speech.",
            findings.little(results),
            plot(charts.little),
            hours(results),
        )


def decoding(results: Results) -> str:
    """How words were found."""
    if not results.searched:
        return "greedy, no language model"
    return (
        "by phones, a lexicon and a language model, with weights tuned on dev for each family; the greedy WER is that "
        "of the letters alone"
    )


def families(results: Results) -> Table:
    """The main table."""
    rows = []
    for family in results.ranked:
        own, speed = results.accuracy[family], results.speed[family]
        rows.append(
            (
                NAMES[family],
                percent(own.wer),
                f"{percent(own.low)} to {percent(own.high)}",
                percent(own.cer),
                *((percent(own.greedy_wer or 0), percent(own.dev_per or 0)) if results.searched else ()),
                f"{own.layers} x {own.width}",
                f"{own.parameters:,}",
                f"{own.learning_rate:g}",
                f"{own.megabytes:.1f}",
                f"{speed.training_rate:,.0f}",
                f"{speed.recognition_rate:,.0f}",
                f"{speed.memory[-1] / 1e6:,.0f}",
            )
        )
    longest = f"{max(speed.seconds):g} s"
    head = (
        "family",
        "WER",
        "95% interval",
        "CER",
        *(("greedy WER", "dev PER") if results.searched else ()),
        "layers",
        "parameters",
        "rate",
        "MB",
        "training, s/s",
        "recognition, s/s",
    )
    return Table((*head, f"peak MB, training on {longest}"), rows)


def winners(results: Results) -> Table:
    """The best family by each figure, and the LSTM's rank."""
    rows = []
    for contest in contests(results):
        best = contest.ranked[0]
        shown = [contest.show(contest.values[family]) for family in (best, "lstm")]
        rows.append(
            (contest.name, f"{NAMES[best]}, {shown[0]}", shown[1], f"{contest.place('lstm')} of {len(contest.values)}")
        )
    return Table(("figure", "best", "LSTM", "its rank"), rows)


def lengths(results: Results) -> Table:
    """Time of a forward pass and a step at the shortest and longest length, and growth."""
    rows = [
        (
            NAMES[family],
            f"{1e3 * own.forward[0]:.1f}",
            f"{own.forward[-1]:.2f}",
            f"{growth(own.seconds, own.forward):.2f}",
            f"{1e3 * own.step[0]:.1f}",
            f"{own.step[-1]:.2f}",
            f"{growth(own.seconds, own.step):.2f}",
            f"{own.batch_gain:.1f}",
        )
        for family, own in results.speed.items()
    ]
    seconds = next(iter(results.speed.values())).seconds
    short, long = (f"{end:g} s" for end in (min(seconds), max(seconds)))
    head = ("family", f"forward {short}, ms", f"{long}, s", "exponent", f"step {short}, ms", f"{long}, s", "exponent")
    return Table((*head, "gain of a batch"), rows)


def explosions(results: Results) -> Table:
    """Gradients and losses with and without clipping."""
    rows = [
        (
            NAMES[family],
            f"{max(free.norm):.2g}",
            f"{max(clipped.norm):.2g}",
            len(free.loss),
            *("none" if own.broken else f"{findings.end_loss(own):.2f}" for own in (free, clipped)),
        )
        for family, free, clipped in ((f, results.free[f], results.clipped[f]) for f in results.free)
    ]
    head = ("family", "largest norm, free", "clipped", "steps until the end, free", "final loss, free", "clipped")
    return Table(head, rows)


def example(results: Results) -> Table:
    """One recording incrementally: a causal family, and a bidirectional one in both modes."""
    back, both = results.partial["lstm"], results.partial["bilstm"]
    rows = [
        (f"{one.seconds:.1f} s", one.all_of_it, two.all_of_it, two.settled)
        for one, two in zip(back.example, both.example, strict=True)
    ]
    head = (f"reference: {back.reference}", "LSTM", "BiLSTM, recomputed", "BiLSTM, 0.32 s of look-ahead")
    return Table(head, rows)


def hours(results: Results) -> Table:
    """WER by amount of speech."""
    columns = [*results.less.items(), ("all", results.accuracy), *([("small", results.small)] if results.small else [])]
    head = [f"{name:g} min" if isinstance(name, float) else name for name, _ in columns]
    rows = [(NAMES[family], *(percent(own[family].wer) for _, own in columns)) for family in results.accuracy]
    return Table(("family", *head), rows)


def write_report(folder: Path, results: Results) -> list[Path]:
    """Write `report.html`, `report.md` and `expected.json`."""
    page = render(
        Path(__file__).with_name("page.html.j2"),
        results=results,
        sections=list(sections(results)),
        caveats=caveats(results),
    )
    return [
        write_atomically(folder / "expected.json", json.dumps(rounded(figures(results)), indent=2) + "\n"),
        write_atomically(folder / "report.md", markdown(results)),
        write_atomically(folder / "report.html", page),
    ]


def caveats(results: Results) -> list[str]:
    """Limits of every figure."""
    found = ["One training run per figure: intervals are over test speakers; another seed may differ as well."]
    if results.synthetic:
        found.insert(0, "Synthetic speech: the error rates say nothing about human speech.")
    if results.quick:
        found.insert(0, "Made with --quick: too little training for any conclusion about accuracy.")
    return found


def markdown(results: Results) -> str:
    """The report without plots."""
    blocks = [f"# What recurrence buys: {results.title}", *(f"> {caveat}" for caveat in caveats(results))]
    for section in sections(results, draw=False):
        blocks += [f"## {section.title}", section.how, "\n".join(f"- {line}" for line in section.found)]
        if section.table:
            lines = ["| " + " | ".join(map(str, row)) + " |" for row in (section.table.head, *section.table.rows)]
            blocks.append("\n".join([lines[0], "|" + " --- |" * len(section.table.head), *lines[1:]]))
    return "\n\n".join(filter(None, blocks)) + "\n"


def rounded(value: Any) -> Any:
    """The same with floats rounded to four places, at any depth."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def figures(results: Results) -> dict[str, Any]:
    """The figures to compare another run with."""
    return {
        "speech": results.title,
        "command": results.command,
        "machine": f"{results.environment['processor']}, {results.environment['cores']} cores, one thread per run",
        "dev": {"manifest": results.dev_manifest, "family": "bilstm", "wer": results.accuracy["bilstm"].dev_wer},
        "families": {
            family: {
                **{key: value for key, value in asdict(own).items() if key not in ("errors", "words", "speakers")},
                "wer_by_minutes": {f"{minutes:.0f}": wer for minutes, wer in results.curve(family)},
                "wer_small": results.small[family].wer if results.small else None,
                "forward_exponent": growth(results.speed[family].seconds, results.speed[family].forward),
                "step_exponent": growth(results.speed[family].seconds, results.speed[family].step),
                "training_rate": results.speed[family].training_rate,
                "recognition_rate": results.speed[family].recognition_rate,
                "wer_by_look_ahead": dict(
                    zip(map(str, results.partial[family].looks), results.partial[family].wer, strict=True)
                ),
            }
            for family, own in results.accuracy.items()
        },
    }
