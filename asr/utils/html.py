"""HTML templates and images for report and preview pages."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TEMPLATES = Path(__file__).parent.parent / "templates"


def render(template: str | Path, filters: Mapping[str, Callable] | None = None, **values: Any) -> str:
    """Render a page from a template, named in `asr/templates` or given as a path, with the caller's `filters`.

    All text is escaped, and an undefined name is an error.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(filters or {})
    return environment.from_string((TEMPLATES / template).read_text(encoding="utf-8")).render(values)


def readable(text: str) -> str:
    """Text with a replacement for what pages and pictures cannot show: control characters, and bytes of a file name
    that are not UTF-8."""
    return "".join(character if character.isprintable() else "�" for character in text)


def spectrogram_png(log_mel: np.ndarray, limits: Sequence[float] | None = None) -> str:
    """A log-mel spectrogram `(frames, mels)` as base64 PNG, low frequencies at the bottom.

    Colours span `limits`, by default the 1st to the 99th percentile: clicks and digital silence leave contrast.
    """
    import matplotlib.image

    low, high = np.percentile(log_mel, [1, 99]) if limits is None else limits
    stream = io.BytesIO()
    matplotlib.image.imsave(stream, log_mel.T, vmin=low, vmax=high, cmap="magma", origin="lower", format="png")
    return base64.b64encode(stream.getvalue()).decode()
