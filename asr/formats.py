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
    """One JSON object on one line: source, duration, words with times in seconds, and hypotheses if there are more
    than one."""
    # A file's name need not be UTF-8, but JSON must be.
    name = source.encode("utf-8", "replace").decode()
    record = {"audio_filepath": name, **msgspec.to_builtins(transcript)}
    if len(transcript.alternatives) < 2:
        del record["alternatives"]
    return msgspec.json.encode(record).decode() + "\n"


WRITERS = {"txt": to_txt, "json": to_json}


def output_names(inputs: Sequence[str], suffix: str) -> list[Path]:
    """A relative file name for the output of each input, all different: `a/x.wav` and `b/x.wav` give `a/x.txt` and
    `b/x.txt`; `x.wav` and `x.flac` of one folder give `x.wav.txt` and `x.flac.txt`.

    Names are the inputs' own below the folder that all of them share, with the suffix where they would be another
    input's name without it.
    """
    paths = [Path(os.path.abspath(name)) for name in inputs]
    shared = os.path.commonpath([path.parent for path in paths]) if paths else ""
    # Each input claims its name with and without the suffix: one path, or two of them.
    claims = Counter(claim for path in paths for claim in {path, path.with_suffix("")})
    return [
        path.relative_to(shared).with_name(f"{path.stem if claims[path.with_suffix('')] == 1 else path.name}.{suffix}")
        for path in paths
    ]
