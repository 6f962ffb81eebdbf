"""The study's plots as SVG images. One colour per family; dashed lines are families that are not causal."""

import base64
import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from exploding import Excursion
from findings import CAUSAL, NAMES, ONE_DIRECTION
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from parallelism import growth
from results import Results

# Okabe & Ito 2008: distinguishable with any colour vision.
COLOURS = {
    "none": "#7f7f7f",
    "rnn": "#d55e00",
    "gru": "#e69f00",
    "lstm": "#0072b2",
    "bilstm": "#56b4e9",
    "cnn": "#009e73",
    "transformer": "#cc79a7",
}
MINUTES = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
matplotlib.rcParams.update(
    {"svg.fonttype": "none", "font.size": 10, "axes.grid": True, "grid.alpha": 0.3, "axes.spines.top": False}
    | {"axes.spines.right": False, "axes.axisbelow": True, "svg.hashsalt": "asr"}
)


def accuracy(results: Results) -> str:
    """WER of each family with its interval."""
    figure, (axes,) = _figure(1, 3.2)
    for row, family in enumerate(reversed(results.ranked)):
        own = results.accuracy[family]
        axes.barh(row, 100 * own.wer, color=COLOURS[family], height=0.62)
        axes.plot([100 * own.low, 100 * own.high], [row, row], color="black", linewidth=1.2, marker="|", markersize=6)
        axes.annotate(f"{100 * own.wer:.1f}%", (100 * own.high, row), (6, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(results.ranked)), [NAMES[family] for family in reversed(results.ranked)])
    axes.set(xlabel="test WER, %", xlim=(0, 1.12 * max(100 * own.high for own in results.accuracy.values())))
    axes.grid(axis="y", visible=False)
    return _svg(figure)


def parallelism(results: Results) -> str:
    """CPU time and memory by length."""
    figure, panels = _figure(3, 3.9)
    titles = ("forward, seconds", "training step, seconds", "memory of a training step, MB")
    for axes, title, field, scale in zip(panels, titles, ("forward", "step", "memory"), (1, 1, 1e-6), strict=True):
        for family, own in results.speed.items():
            cost = [scale * value for value in getattr(own, field)]
            label = f"{NAMES[family]} {growth(own.seconds, cost):.2f}" if field != "memory" else NAMES[family]
            axes.plot(own.seconds, cost, _line(family), color=COLOURS[family], marker="o", markersize=3.5, label=label)
        axes.set(xscale="log", yscale="log", title=title, xlabel="utterance, seconds")
        axes.set_xticks(own.seconds, [f"{second:g}" for second in own.seconds])
        axes.minorticks_off()
        axes.legend(fontsize=7.5, title="exponent" if field != "memory" else None, title_fontsize=7.5)
    return _svg(figure)


def reach(results: Results) -> str:
    """Gradient by distance: the recurrent networks before and after training, all families after."""
    figure, (left, right) = _figure(2, 4.1)
    for family, own in results.reach.items():
        if family not in ONE_DIRECTION:
            continue
        back = np.array(own.seconds) >= 0
        seconds = np.array(own.seconds)[back]
        for sizes, line, when in ((own.untrained, ":", "untrained"), (own.trained, "-", "trained")):
            left.plot(seconds, np.array(sizes)[back], line, color=COLOURS[family], label=f"{NAMES[family]}, {when}")
    left.set(title="recurrent in one direction", xlabel="input this many seconds before the output")
    for family, own in results.reach.items():
        right.plot(
            [-second for second in own.seconds], own.trained, _line(family), color=COLOURS[family], label=NAMES[family]
        )
    right.set(title="all families, trained", xlabel="input, seconds after the output (negative: before)")
    for axes in (left, right):
        axes.set(yscale="log", ylim=(1e-7, 2), ylabel="gradient, relative")
        axes.legend(fontsize=8, ncol=2, loc="lower left" if axes is left else "lower right")
    return _svg(figure)


def length(results: Results) -> str:
    """WER by length of the recording."""
    figure, (axes,) = _figure(1, 3.4)
    for family, own in results.length.items():
        axes.plot(own.seconds, _percent(own.wer), _line(family), color=COLOURS[family], marker="o", label=NAMES[family])
    axes.set(xscale="log", xlabel="mean length of the recordings, seconds", ylabel="WER, %", ylim=(0, None))
    axes.set_xticks(own.seconds, [f"{second:.1f}" for second in own.seconds])
    axes.minorticks_off()
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return _svg(figure)


def exploding(results: Results) -> str:
    """Gradient norm and loss with and without clipping, a column per family."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    rows = figure.subplots(2, len(results.free), sharex=True, sharey="row", squeeze=False)
    for column, family in enumerate(results.free):
        for axes, field in zip(rows[:, column], ("norm", "loss"), strict=True):
            _excursion(axes, results.free[family], field, "#d55e00", "without clipping")
            _excursion(axes, results.clipped[family], field, "#0072b2", "clipped")
            axes.set(yscale="log")
        rows[0][column].set_title(NAMES[family])
        rows[1][column].set_xlabel("step")
    rows[0][0].set_ylabel("gradient norm before clipping")
    rows[1][0].set_ylabel("loss, nats per token")
    rows[0][-1].legend(fontsize=7.5)
    return _svg(figure)


def partial(results: Results) -> str:
    """WER by look-ahead, and the number of words that change after they were shown."""
    figure, (left, right) = _figure(2, 3.6)
    for family, own in results.partial.items():
        left.plot(
            own.looks,
            _percent(own.wer),
            _line(family),
            color=COLOURS[family],
            marker="o",
            markersize=4,
            label=NAMES[family],
        )
        left.plot(1.6 * own.looks[-1], 100 * own.whole_wer, marker="D", color=COLOURS[family], markersize=5)
    left.set_xscale("symlog", linthresh=min(look for look in own.looks if look))
    left.set_xticks([*own.looks, 1.6 * own.looks[-1]], [*(f"{look:g}" for look in own.looks), "all"], fontsize=8)
    left.minorticks_off()
    left.set(xlabel="look-ahead, seconds", ylabel="WER, %", ylim=(0, None))
    left.legend(fontsize=8)
    names = list(results.partial)
    right.barh(range(len(names)), [results.partial[f].taken_back for f in names], color=[COLOURS[f] for f in names])
    right.set_yticks(range(len(names)), [NAMES[family] for family in names])
    right.set(xlabel="revised words per word of the final text")
    right.grid(axis="y", visible=False)
    return _svg(figure)


def little(results: Results) -> str:
    """WER by amount of speech, and with fewer parameters."""
    figure, (left, right) = _figure(2, 3.8)
    for family in results.accuracy:
        minutes, wer = zip(*results.curve(family), strict=True)
        left.plot(minutes, _percent(wer), _line(family), color=COLOURS[family], marker="o", label=NAMES[family])
    marks = [m for m in MINUTES if min(minutes) * 0.9 <= m <= max(minutes) * 1.1]
    left.set(xscale="log", xlabel="minutes of training speech", ylabel="test WER, %", ylim=(0, None))
    left.set_xticks(marks, [str(mark) for mark in marks])
    left.minorticks_off()
    left.legend(fontsize=8)
    for family, own in results.small.items():
        full = results.accuracy[family]
        right.plot(
            [own.parameters / 1e3, full.parameters / 1e3],
            _percent([own.wer, full.wer]),
            _line(family),
            color=COLOURS[family],
            marker="o",
        )
    right.set(xlabel="thousand parameters", ylabel="test WER, %", ylim=(0, None))
    right.set_visible(bool(results.small))
    return _svg(figure)


def _excursion(axes: Axes, run: Excursion, field: str, colour: str, label: str) -> None:
    values = getattr(run, field)
    axes.plot(range(1, 1 + len(values)), values, color=colour, linewidth=1.2, label=label)
    if run.broken:
        axes.plot(len(values), values[-1], "x", color=colour, markersize=9)


def _figure(columns: int, height: float) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(11 if columns > 1 else 8, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _line(family: str) -> str:
    return "-" if family in CAUSAL else "--"


def _percent(rates: Sequence[float]) -> list[float]:
    return [100 * rate for rate in rates]


def _svg(figure: Figure) -> str:
    """The figure as a data URL: as separate images, plots share no element ids."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"
