"""What the pages with sounds and pictures share."""

import io
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import soundfile

from asr.augment import limit_peak


def render(template: str, **values: Any) -> str:
    """A page from its template beside this file; all text in it is escaped."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(Path(__file__).with_name(template).read_text(encoding="utf-8")).render(values)


def wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Samples `(samples,)` as a sound file that every browser plays."""
    stream = io.BytesIO()
    soundfile.write(stream, limit_peak(samples), sample_rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def readable(text: str) -> str:
    """Text without what a page or picture cannot have: control characters, and bytes of a file's name that are not
    UTF-8."""
    return "".join(character if character.isprintable() else "�" for character in text)
