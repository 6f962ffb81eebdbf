"""Any tree of recordings with their transcripts beside them.

SPEAKER/.../NAME.wav    or another audio suffix; the speaker is unknown for recordings directly in SOURCE
SPEAKER/.../NAME.txt    the transcript
"""

from collections.abc import Iterator
from pathlib import Path

from asr.audio.io import find_audio
from asr.data.corpora.base import Candidate
from asr.data.corpora.reading import check_layout, find_files, not_in_layout, other_kinds, read_lines
from asr.errors import ManifestError
from asr.utils import storage


def read(source: Path) -> Iterator[Candidate]:
    """Candidates of one subset, "all"; the id is the path below `source`, without suffix."""
    check_layout(source, "folder")
    recordings = find_audio(source)
    transcripts = find_files(source, ".txt")
    if not recordings and not any(other_kinds(path.parent, path.stem) for path in transcripts):
        raise not_in_layout(source, "folder", "audio files")
    for recording in recordings:
        text, problem = _text(recording.with_suffix(".txt"))
        yield _candidate(source, recording, text, problem)
    transcribed = {recording.with_suffix(".txt") for recording in recordings}
    for path in transcripts:
        if path not in transcribed:
            problem = other_kinds(path.parent, path.stem) or "no recording; put it beside the text or remove the text"
            yield _candidate(source, path, "", problem)


def _text(path: Path) -> tuple[str, str]:
    """The text of a transcript file, or else the problem with it."""
    if not storage.is_file(path):
        return "", f"no transcript; write it into {path.name} beside the recording"
    try:
        return " ".join(line.strip() for line in read_lines(path)), ""
    except ManifestError as error:
        return "", f"unreadable transcript: {error}"


def _candidate(source: Path, path: Path, text: str, problem: str) -> Candidate:
    name = path.relative_to(source)
    speaker = name.parts[0] if len(name.parts) > 1 else ""
    return Candidate(name.with_suffix("").as_posix(), path, text, speaker, problem=problem)
