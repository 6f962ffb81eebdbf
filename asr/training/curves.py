"""training.html: the curves of a run, drawn from its metrics.jsonl."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from asr.utils.files import write_atomically
from asr.utils.html import render

CURVES = (  # title, unit, kind of record, values to draw, whether the axis is logarithmic
    ("Loss", "nats per token", "epoch", ("loss",), False),
    ("Errors on dev", "percent", "epoch", ("dev_wer", "dev_cer"), False),
    ("Learning rate", "", "train", ("learning_rate",), False),
    ("Gradient norm before clipping", "", "train", ("gradient_norm",), True),
    ("Blank rate on dev", "percent of output frames", "epoch", ("blank_rate",), False),
    ("Speed", "seconds of audio per second", "epoch", ("audio_seconds_per_second",), False),
    ("Waiting for data", "percent of the time", "epoch", ("waiting_share",), False),
    ("Memory", "gigabytes, peak so far", "train", ("peak_gigabytes",), False),
)
NAMES = {"dev_wer": "WER", "dev_cer": "CER"}
COLOURS = ("#1f5fa8", "#d1791f")


def write_curves(metrics: Path, page: Path) -> None:
    """Read a run's metrics and write the page, which loads nothing from the network."""
    records = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    epochs = [record for record in records if record["kind"] == "epoch"]
    pictures = [_draw(records, epochs, *curve) for curve in CURVES]
    summary = _summary(records, epochs)
    write_atomically(page, render("curves.html.j2", summary=summary, pictures=pictures, epochs=epochs))


def _draw(
    records: Sequence[dict[str, Any]],
    epochs: Sequence[dict[str, Any]],
    title: str,
    unit: str,
    kind: str,
    names: Sequence[str],
    logarithmic: bool,
) -> str:
    """One curve over steps, as SVG; epoch boundaries are drawn where there are at most 60."""
    figure = Figure(figsize=(5, 2.6), layout="constrained")
    axes = figure.subplots()
    scale = 100 if unit.startswith("percent") else 1
    for name, colour in zip(names, COLOURS, strict=False):
        points = [(record["step"], scale * record[name]) for record in records if record["kind"] == kind]
        if points:
            steps, values = zip(*points, strict=True)
            marker = "." if len(points) < 60 else None
            axes.plot(steps, values, color=colour, label=NAMES.get(name, name), linewidth=1.5, marker=marker)
    for record in epochs if len(epochs) <= 60 else ():
        axes.axvline(record["step"], color="#ddd", linewidth=0.5, zorder=0)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel(unit, fontsize=8)
    axes.tick_params(labelsize=8)
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    if len(names) > 1:
        axes.legend(fontsize=8, frameon=False)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _summary(records: Sequence[dict[str, Any]], epochs: Sequence[dict[str, Any]]) -> str:
    final = next((record for record in reversed(records) if record["kind"] == "final"), None)
    start = next((record for record in records if record["kind"] == "start"), {})
    parts = [f"{len(epochs)} epochs, {records[-1]['step']} steps"]
    if final:
        parts.append(f"dev WER {final['dev_wer']:.2%}, CER {final['dev_cer']:.2%} at the end")
    parts.append(f"on {start.get('gpu') or start.get('processor')}")
    return ", ".join(parts) + ". Data: metrics.jsonl. Vertical lines mark the ends of epochs."
