"""Miniature corpora, and the candidates that a corpus reader makes of them."""

from pathlib import Path

import numpy as np
import soundfile

from asr.data.config import PrepareConfig
from asr.data.corpora import LAYOUTS, WRITE_RECORDINGS


def sound(path, seconds=0.1, rate=8000):
    """A short noise at `path`, in the format of its suffix; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate))
    soundfile.write(path, samples, rate, format={".opus": "OGG"}.get(path.suffix))
    return path


def text(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def read(layout, source):
    """Candidates without a problem by id, and problems by id."""
    arguments = (Path(source) / "audio", getattr(PrepareConfig(), layout)) if layout in WRITE_RECORDINGS else ()
    candidates = list(LAYOUTS[layout](Path(source), *arguments))
    good = {candidate.id: candidate for candidate in candidates if not candidate.problem}
    problems = {candidate.id: candidate.problem for candidate in candidates if candidate.problem}
    assert len(good) + len(problems) == len(candidates)
    return good, problems


def facts(candidate, *names):
    return tuple(getattr(candidate, name) for name in names)
