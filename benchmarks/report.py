"""The tables and the picture of `decoders.py`."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from decoder_bench import Bench, Point

COLORS = {"asr": "tab:red", "flashlight": "tab:blue", "torchaudio": "tab:cyan", "pyctcdecode": "tab:green"}


def markdown(
    bench: Bench,
    variants: Sequence[Point],
    threads: dict[int, tuple[float, float]],
    processes: dict[str, tuple[float, int, int]],
) -> str:
    """All tables."""
    parts = [f"{processor()}\n"]
    for version, points in bench.points.items():
        parts.append(f"### {version.capitalize()}\n\n{_points(bench, version, points)}\n")
    parts.append(f"### Weights\n\n{_weights(bench)}\n")
    parts.append(f"### Memory and loading\n\n{_processes(processes)}\n")
    parts.append(f"### What options cost and gain\n\n{_variants(bench, variants)}\n")
    parts.append(f"### Batches on one thread and on two\n\n{_threads(bench, threads)}\n")
    return "\n".join(parts)


def processor() -> str:
    """Processor name and number of cores."""
    name = platform.processor()
    with open("/proc/cpuinfo") as stream:
        names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    return f"{names[0] if names else name}, {os.cpu_count()} cores"


def _points(bench: Bench, version: str, points: Sequence[Point]) -> str:
    rows = []
    for point in _at_common_beams(points):
        seconds = 1 / (point.speed * bench.data.frame_seconds)
        short = len(point.texts) < len(bench.data.measuring)
        wer = bench.data.wer(bench.data.measuring, point.texts)
        shown = f"{wer:.2f}" + (f" ({len(point.texts)} utterances)" if short else "")
        rows.append(
            (
                point.candidate.name,
                point.setup.beam,
                shown,
                f"{point.speed:,.0f}",
                f"{seconds:.5f}",
                *_beside(bench, version, point),
            )
        )
    return table(
        ("decoder", "beam", "WER %", "frames/s", "RTF", "ours at equal WER", "times as fast", "at equal beam"), rows
    )


def _at_common_beams(points: Sequence[Point]) -> list[Point]:
    """The points at beams that other decoders have too; all, if there are no others."""
    beams = {point.setup.beam for point in points if point.candidate.compared_with}
    return [point for point in points if not beams or point.setup.beam in beams]


def _beside(bench: Bench, version: str, point: Point) -> tuple[str, str, str]:
    """Our point of equal WER, its speed-up, and the speed-up at equal beam."""
    if not point.candidate.compared_with:
        return "", "", ""
    same = next(
        ours
        for ours in bench.points[version]
        if ours.candidate.name == point.candidate.compared_with and ours.setup.beam == point.setup.beam
    )
    at_beam = f"{same.speed / point.speed:.1f}"
    equal = bench.equal(version, point)
    if equal is None:
        return "none", "", at_beam
    wer = bench.data.wer(bench.data.measuring, equal.texts[: len(point.texts)])
    return f"beam {equal.setup.beam}, {wer:.2f}", f"**{equal.speed / point.speed:.1f}**", at_beam


def _weights(bench: Bench) -> str:
    rows = [
        (version, name, f"{setup.lm_weight:g}", f"{setup.word_bonus:g}")
        for (version, name), setup in bench.weights.items()
    ]
    return table(("log-probabilities", "decoder", "language model weight", "word bonus (nats)"), rows)


def _processes(processes: dict[str, tuple[float, int, int]]) -> str:
    rows = [
        (kind, f"{seconds:.1f}", f"{loaded / 1e9:.2f}", f"{peak / 1e9:.2f}")
        for kind, (seconds, loaded, peak) in processes.items()
    ]
    return table(("process", "seconds until it can decode", "GB then", "GB at most"), rows)


def _variants(bench: Bench, variants: Sequence[Point]) -> str:
    rows = []
    for point in variants:
        base = next(other for other in variants if other.candidate.name == point.candidate.name)
        wer, before = (bench.data.wer(bench.data.measuring, other.texts) for other in (point, base))
        rows.append(
            (
                point.candidate.name,
                ", ".join(f"{name} {value:g}" for name, value in point.candidate.options.items()) or "as above",
                f"{wer:.2f}",
                f"{wer - before:+.2f}",
                f"{point.speed:,.0f}",
                f"{point.speed / base.speed:.2f}",
            )
        )
    beam = variants[0].setup.beam
    return table((f"decoder (beam {beam})", "options", "WER %", "change", "frames/s", "times as fast"), rows)


def _threads(bench: Bench, threads: dict[int, tuple[float, float]]) -> str:
    frames = bench.data.frames(bench.data.measuring)
    rows = [
        (beam, f"{frames / one:,.0f}", f"{frames / two:,.0f}", f"{one / two:.2f}")
        for beam, (one, two) in threads.items()
    ]
    return table(("beam", "frames/s, 1 thread", "frames/s, 2 threads", "gain"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table with columns of equal width."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def draw(bench: Bench, path: Path) -> None:
    """WER against speed, a panel for each version of the log-probabilities.

    Points measured on a part of the utterances are omitted: their WERs are not comparable.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(bench.points), figsize=(4.2 * len(bench.points), 3.8), squeeze=False)
    for panel, (version, points) in zip(panels[0], bench.points.items(), strict=True):
        whole = [point for point in _at_common_beams(points) if len(point.texts) == len(bench.data.measuring)]
        for name in dict.fromkeys(point.candidate.name for point in whole):
            own = [point for point in whole if point.candidate.name == name]
            line = "--" if own[0].candidate.options else "-"
            panel.plot(
                [point.speed for point in own],
                [bench.data.wer(bench.data.measuring, point.texts) for point in own],
                line,
                marker="o",
                markersize=4,
                color=COLORS[own[0].candidate.kind],
                label=name,
            )
        panel.set_xscale("log")
        panel.set_title(version)
        panel.set_xlabel("frames per second, one thread")
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("WER, %")
    figure.tight_layout()
    lines, names = panels[0][0].get_legend_handles_labels()
    figure.legend(lines, names, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=3, fontsize=8)
    figure.savefig(path, dpi=80, bbox_inches="tight")
    pyplot.close(figure)
