"""What every corpus reader yields: candidates that still have to be checked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """An utterance as a corpus lists it; `asr.data.prepare` checks its audio and text and reads its duration."""

    id: str
    audio: Path
    text: str
    speaker: str = ""  # empty: the corpus does not say
    subset: str = "all"  # the corpus's own division: "train-clean-5", "dev", "test", ...
    offset: float = 0.0  # seconds into the recording
    duration: float | None = None  # seconds; None: to the end of the recording
    extra: dict[str, Any] = field(default_factory=dict)  # further keys for the manifest line
    problem: str = ""  # a reason for rejection that the reader already saw, such as "no transcript"
