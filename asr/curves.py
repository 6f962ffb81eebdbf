"""training.html: how a run went, as curves, from its metrics.jsonl."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from asr.files import write_atomically

CURVES = (  # title, unit, kind of record, values drawn, whether on a logarithmic axis
    ("Loss", "nats for each token", "epoch", ("loss",), False),
    ("Errors on dev", "percent", "epoch", ("dev_wer", "dev_cer"), False),
    ("Learning rate", "", "train", ("learning_rate",), False),
    ("Gradient norm before clipping", "", "train", ("gradient_norm",), True),
    ("Blank rate on dev", "percent of output frames", "epoch", ("blank_rate",), False),
    ("Speed", "seconds of audio for each second", "epoch", ("audio_seconds_per_second",), False),
    ("Waiting for data", "percent of the time", "epoch", ("waiting_share",), False),
    ("Memory", "gigabytes, the most so far", "train", ("peak_gigabytes",), False),
)
NAMES = {"dev_wer": "WER", "dev_cer": "CER"}
COLOURS = ("#1f5fa8", "#d1791f")

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Training</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 1040px; margin: 2em auto; padding: 0 1em; color: #222; }
 figure { display: inline-block; width: 49%; margin: 0; } svg { width: 100%; height: auto; }
 table { border-collapse: collapse; } td, th { padding: .1em 1em .1em 0; text-align: right; }
</style></head><body>
<h1>Training</h1>
<p>{{ summary }}</p>
{% for picture in pictures %}<figure>{{ picture }}</figure>{% endfor %}
<h2>Epochs</h2>
<table><tr><th>epoch</th><th>loss</th><th>dev WER</th><th>dev CER</th><th>blank</th><th>left out</th>
<th>seconds</th></tr>
{% for e in epochs %}<tr><td>{{ e.epoch }}</td><td>{{ "%.3f"|format(e.loss) }}</td>
<td>{{ "%.2f%%"|format(100 * e.dev_wer) }}</td><td>{{ "%.2f%%"|format(100 * e.dev_cer) }}</td>
<td>{{ "%.0f%%"|format(100 * e.blank_rate) }}</td><td>{{ e.too_short }}</td><td>{{ "%.0f"|format(e.seconds) }}</td></tr>
{% endfor %}</table>
</body></html>
"""


def write_curves(metrics: Path, page: Path) -> None:
    """Read a run's metrics and write the page, which needs no network."""
    records = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    epochs = [record for record in records if record["kind"] == "epoch"]
    pictures = [_draw(records, epochs, *curve) for curve in CURVES]
    html = jinja2.Template(PAGE).render(summary=_summary(records, epochs), pictures=pictures, epochs=epochs)
    write_atomically(page, html)


def _draw(
    records: Sequence[dict[str, Any]],
    epochs: Sequence[dict[str, Any]],
    title: str,
    unit: str,
    kind: str,
    names: Sequence[str],
    logarithmic: bool,
) -> str:
    """One curve against steps, as SVG; the ends of epochs are marked if they are few enough to tell apart."""
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
    return ", ".join(parts) + ". The curves are those of metrics.jsonl; vertical lines are ends of epochs."
