"""Transcripts as files: one writer for each format, and names for the files."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from asr.transcript import Transcript


def to_txt(transcript: Transcript, source: str) -> str:
    """The words, on one line."""
    return transcript.text + "\n"


def to_json(transcript: Transcript, source: str) -> str:
    """One JSON object on one line: source, duration and words with times in seconds."""
    record = {"audio_filepath": source, **msgspec.to_builtins(transcript)}
    return msgspec.json.encode(record).decode() + "\n"


WRITERS = {"txt": to_txt, "json": to_json}


def output_names(inputs: Sequence[str], suffix: str) -> list[Path]:
    """A relative file name for the output of each input, all different: `a/x.wav` and `b/x.wav` give `a/x.txt` and
    `b/x.txt`; `x.wav` and `x.flac` of one folder give `x.wav.txt` and `x.flac.txt`.

    Names are the inputs' own below the folder that all of them share.
    """
    paths = [Path(os.path.abspath(name)) for name in inputs]
    shared = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
    stems = [path.relative_to(shared).with_suffix("") for path in paths]
    count = Counter(stems)
    return [
        path.relative_to(shared).with_name(f"{path.name if count[stem] > 1 else path.stem}.{suffix}")
        for path, stem in zip(paths, stems, strict=True)
    ]
