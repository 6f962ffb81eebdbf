"""LJ Speech (Ito and Johnson 2017): one speaker.

metadata.csv    lines of the form `ID|text as printed|text with numbers and abbreviations spelled out`
wavs/ID.wav
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from asr.audio.io import find_audio
from asr.data.corpora.base import Candidate
from asr.data.corpora.reading import check_layout, pair, read_lines


def read(source: Path) -> Iterator[Candidate]:
    """Candidates of the speaker "LJ" in one subset, "all", as the corpus has none of its own.

    The text is the spelled-out column, or the printed one if that is empty.
    """
    check_layout(source, "ljspeech", "metadata.csv", "wavs")
    transcripts = [_transcript(line) for line in read_lines(source / "metadata.csv")]
    for candidate in pair(find_audio(source / "wavs"), transcripts, source / "wavs"):
        yield dataclasses.replace(candidate, speaker="LJ")


def _transcript(line: str) -> tuple[str, str]:
    id, *texts = (column.strip() for column in line.split("|"))
    return id, next((text for text in reversed(texts) if text), "")
