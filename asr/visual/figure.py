"""The picture of an inspection, all rows on one time axis, and the page around it."""

import base64
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asr.audio.io import wav
from asr.errors import ConfigError
from asr.punctuation.config import PLAIN
from asr.recognition.recognizer import Recognizer
from asr.text.tokenizer import BLANK
from asr.transcript import Word
from asr.utils.files import write_atomically
from asr.utils.html import readable, render
from asr.visual.config import InspectConfig
from asr.visual.inspection import Inspection, look_inside

INCHES_PER_SECOND = 1.4
LEAST_INCHES = 10.0  # of the time axis
LEFT, RIGHT = 1.6, 0.3  # margins in inches
# Row heights in inches.
WAVEFORM, LOG_MEL, LAYER, POSTERIORS, PATH, WORDS, PARTIAL = 0.7, 1.3, 1.5, 1.4, 0.3, 0.4, 0.19
GAP = 0.12
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
)  # Okabe & Ito 2008
CHANGED = "#d1495b"
INK, SOFT = "#1d2127", "#5b6370"
LEAST_PROBABILITY = 0.02  # of a posterior that is drawn
# Matplotlib's own font covers Latin, Greek and Cyrillic; other scripts need one of these.
FALLBACK_FONTS = ("Noto Sans CJK SC", "WenQuanYi Zen Hei", "Arial Unicode MS")


def inspect_sound(sound: Path, model: Path, output: Path, config: InspectConfig) -> Inspection:
    """Recognise a sound file and draw how, as a picture (`output` ends in .png) or a page with it (.html).

    Raises `ConfigError` for another suffix, and an `AsrError` when the sound or the model cannot be read.
    """
    suffix = output.suffix.lower()
    if suffix not in (".html", ".png"):
        raise ConfigError(f"{output}: the picture's name must end in .html or .png")
    inspection = look_inside(Recognizer.load(model, decoder=config.search, writing=PLAIN), sound, model.name, config)
    write_atomically(output, draw_page(inspection) if suffix == ".html" else draw_picture(inspection, "png"))
    return inspection


def draw_page(inspection: Inspection) -> str:
    """A page with the picture and a player whose position moves along it."""
    svg = draw_picture(inspection, "svg").decode()
    width = LEFT + _inches(inspection) + RIGHT
    return render(
        "inspection.html.j2",
        inspection=inspection,
        title=readable(inspection.title),
        picture=svg[svg.index("<svg") :],
        sound=base64.b64encode(wav(inspection.samples, inspection.sample_rate)).decode(),
        start=LEFT / width,
        stop=(LEFT + _inches(inspection) * inspection.shown / inspection.axis_seconds) / width,
        changed=CHANGED,
    )


def draw_picture(inspection: Inspection, format: str) -> bytes:
    """The picture as 'png' or 'svg'."""
    settings: Any = {  # its type would be one of 300 literals
        "text.parse_math": False,  # a $ in a transcript is not a formula
        "svg.fonttype": "none",  # browsers have fonts for more scripts than Matplotlib
        "svg.hashsalt": "asr",  # reproducible output
        "font.family": ["DejaVu Sans", *_installed(FALLBACK_FONTS)],
        "font.size": 8,
        "text.color": INK,
        "axes.edgecolor": SOFT,
        "axes.linewidth": 0.5,
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A character without a font is a box in the .png; in the .html the browser has its own fonts.
        warnings.filterwarnings("ignore", message="Glyph")
        stream = io.BytesIO()
        _figure(inspection).savefig(stream, format=format, dpi=110, metadata={"Date": None} if format == "svg" else {})
    return stream.getvalue()


def _figure(inspection: Inspection) -> Figure:
    rows = [
        (WAVEFORM, _draw_waveform),
        (LOG_MEL, _draw_log_mel),
        *((LAYER, _layer_drawer(index)) for index in range(len(inspection.layers))),
        (POSTERIORS, _draw_posteriors),
        (PATH, _draw_path),
        (WORDS, _draw_words),
        (PARTIAL * len(inspection.partials), _draw_partials),
    ]
    top, bottom = 0.4, 0.45
    width = LEFT + _inches(inspection) + RIGHT
    height = top + bottom + sum(inches for inches, _ in rows) + GAP * (len(rows) - 1)
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.text(0.1 / width, 1 - 0.22 / height, readable(inspection.title), fontsize=10, weight="bold", va="center")
    level = height - top
    for inches, draw in rows:
        level -= inches
        axes = figure.add_axes((LEFT / width, level / height, _inches(inspection) / width, inches / height))
        level -= GAP
        draw(axes, inspection)
        axes.set_xlim(0, inspection.axis_seconds)
        axes.tick_params(length=2, bottom=False, labelbottom=False, colors=SOFT)
    axes.tick_params(bottom=True, labelbottom=True)
    axes.set_xlabel("seconds", color=SOFT)
    return figure


def _draw_waveform(axes: Axes, inspection: Inspection) -> None:
    step = max(1, len(inspection.samples) // 4000)
    starts = np.arange(0, len(inspection.samples), step)
    lowest, highest = (each.reduceat(inspection.samples, starts) for each in (np.minimum, np.maximum))
    axes.fill_between(starts / inspection.sample_rate, lowest, highest, color=COLOURS[0], linewidth=0.3)
    axes.set_yticks([])
    _label(axes, "waveform")


def _draw_log_mel(axes: Axes, inspection: Inspection) -> None:
    low, high = np.percentile(inspection.log_mel, [1, 99])
    _image(axes, inspection.log_mel, inspection.hop_seconds, cmap="magma", vmin=low, vmax=high)
    _label(axes, "log-mel", f"{inspection.log_mel.shape[1]} bands, low at the\nbottom; bright: loud")


def _layer_drawer(index: int):
    def draw(axes: Axes, inspection: Inspection) -> None:
        states = inspection.layers[index]
        # Standardised per unit: constant offsets would use up the colour scale.
        changes = (states - states.mean(axis=0)) / (states.std(axis=0) + 1e-6)
        halves = np.split(changes, 2, axis=1) if inspection.encoder == "bilstm" else [changes]
        # The upper half of the picture reads with time, the lower one against it.
        ordered = np.concatenate([half[:, similar_order(half)] for half in reversed(halves)], axis=1)
        _image(axes, ordered, inspection.frame_seconds, cmap="RdBu_r", vmin=-1.5, vmax=1.5)
        note = f"{inspection.encoder}, {states.shape[1]} units"
        if len(halves) == 2:
            axes.axhline(states.shape[1] / 2, color=INK, linewidth=0.8)
            note += "\nabove: reads forwards\nbelow: reads backwards"
        _label(axes, f"layer {index + 1}", note)

    return draw


def similar_order(states: np.ndarray) -> np.ndarray:
    """An order of the units of `(frames, units)`, each of mean 0, that puts correlated ones side by side: by the angle
    of their loadings on the first two principal components."""
    _, _, components = np.linalg.svd(states, full_matrices=False)
    if len(components) < 2:
        return np.arange(states.shape[1])
    return np.argsort(np.arctan2(components[1], components[0]), kind="stable")


def _draw_posteriors(axes: Axes, inspection: Inspection) -> None:
    probabilities = np.exp(inspection.log_probabilities.astype(np.float64))
    time = (np.arange(len(probabilities)) + 0.5) * inspection.frame_seconds
    axes.plot(time, probabilities[:, BLANK], color=SOFT, linewidth=0.6, linestyle=(0, (3, 3)))
    for token in np.flatnonzero(probabilities.max(axis=0) > LEAST_PROBABILITY):
        if token != BLANK:
            colour = COLOURS[token % len(COLOURS)]
            axes.fill_between(time, probabilities[:, token], color=colour, alpha=0.35, linewidth=0)
            axes.plot(time, probabilities[:, token], color=colour, linewidth=0.6)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.5, 1])
    _label(axes, "posteriors", "of each token; the\nblank is dashed", left=0.35)


def _draw_path(axes: Axes, inspection: Inspection) -> None:
    path = inspection.path
    for token, start, end in zip(path.indices.tolist(), path.starts.tolist(), path.ends.tolist(), strict=True):
        left, right = start * inspection.frame_seconds, end * inspection.frame_seconds
        axes.axvspan(left, right, color=COLOURS[token % len(COLOURS)], alpha=0.35, linewidth=0)
        piece = readable(inspection.pieces[token]).replace(" ", "␣")
        axes.text((left + right) / 2, 0.45, piece, ha="center", va="center", fontsize=7, clip_on=True)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    _label(axes, "greedy path", "best token of each frame")


def _draw_words(axes: Axes, inspection: Inspection) -> None:
    for word in inspection.transcript.words:
        axes.axvspan(word.start, word.end, ymin=0.1, ymax=0.9, facecolor="#eceff3", edgecolor=SOFT, linewidth=0.5)
    _write_words(axes, inspection.transcript.words, 0.5, 9.5, [INK] * len(inspection.transcript.words), inspection)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    _label(axes, "words")


def _draw_partials(axes: Axes, inspection: Inspection) -> None:
    for row, partial in enumerate(inspection.partials):
        axes.axhspan(row - 0.5, row + 0.5, color="#f4f5f7" if row % 2 else "white", linewidth=0)
        axes.plot([partial.seconds] * 2, [row - 0.5, row + 0.5], color=SOFT, linewidth=1)
        colours = [INK if kept else CHANGED for kept in partial.kept]
        _write_words(axes, partial.words, row, 8, colours, inspection)
    axes.set_ylim(len(inspection.partials) - 0.5, -0.5)
    axes.set_yticks(
        range(len(inspection.partials)), [f"{partial.seconds:.2f} s" for partial in inspection.partials], fontsize=6
    )
    _label(
        axes,
        "partial\nhypotheses",
        "if the recording\nended here; red:\nwords that later\nchange",
        left=0.5,
    )


def _write_words(
    axes: Axes, words: Sequence[Word], level: float, size: float, colours: Sequence[str], inspection: Inspection
) -> None:
    """Words at their times, in smaller type where space is short."""
    points = 72 * _inches(inspection) / inspection.axis_seconds  # per second
    starts = [word.start for word in words]
    for word, start, following, colour in zip(
        words, starts, [*starts, inspection.axis_seconds][1:], colours, strict=True
    ):
        text = readable(word.text)
        room = points * max(following - start, word.end - start) / (0.66 * len(text) + 0.4)
        axes.annotate(
            text,
            (start, level),
            (2, 0),
            textcoords="offset points",
            va="center",
            fontsize=min(size, max(room, 3)),
            color=colour,
            annotation_clip=False,
        )


def _image(axes: Axes, values: np.ndarray, step: float, **colours) -> None:
    """`(frames, rows)`, the first row at the bottom."""
    extent = (0, len(values) * step, 0, values.shape[1])
    axes.imshow(values.T, origin="lower", aspect="auto", interpolation="antialiased", extent=extent, **colours)
    axes.set_yticks([])


def _label(axes: Axes, title: str, note: str = "", left: float = 0.1) -> None:
    """The row's title and note in the left margin, `left` inches from the axis."""
    title_lines, note_lines = title.count("\n") + 1, note.count("\n") + 1 if note else 0
    rows: list[tuple[str, dict[str, Any]]] = [
        (title + "\n" * note_lines, {"weight": "bold"}),
        ("\n" * title_lines + note, {"fontsize": 6.5, "color": SOFT}),
    ]
    for text, style in rows:
        style |= {"xytext": (-72 * left, 0), "xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate(text, (0, 0.5), ha="right", va="center", **style)


def _inches(inspection: Inspection) -> float:
    """Length of the time axis."""
    return max(LEAST_INCHES, inspection.axis_seconds * INCHES_PER_SECOND)


def _installed(fonts: Sequence[str]) -> list[str]:
    names = {font.name for font in font_manager.fontManager.ttflist}
    return [font for font in fonts if font in names]
