"""What every corpus reader yields: candidates, not yet checked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # NumPy would be imported for every list of commands
    from asr.data.utterances import ByteRange


@dataclass(frozen=True)
class Candidate:
    """An utterance as listed by a corpus; `asr.data.intake` checks its audio and text and reads its duration."""

    id: str
    audio: Path
    text: str
    speaker: str = ""  # empty: unknown
    subset: str = "all"  # the corpus's own division: "train-clean-5", "dev", "test", ...
    offset: float = 0.0  # seconds into the recording
    duration: float | None = None  # seconds; None: to the end of the recording
    claimed_duration: float | None = None  # seconds of the whole recording, as the corpus states; None: not stated
    extra: dict[str, Any] = field(default_factory=dict)  # further keys for the manifest line
    byte_range: "ByteRange | None" = None  # of a recording in a tar shard, `audio` being SHARD.tar/NAME
    problem: str = ""  # a reason for rejection that the reader found, such as "no transcript"
