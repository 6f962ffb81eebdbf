"""Shared by the corpus readers: checks of a layout, its text files, recordings paired with transcripts."""

import glob
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from asr.data.corpora.base import Candidate
from asr.errors import ManifestError
from asr.utils import files, storage

REMEDY = "a file of the corpus is missing or unreadable"


def check_layout(source: Path, layout: str, *marks: str) -> None:
    """Raise `ManifestError` unless `source` is a folder with the files and folders that mark the layout."""
    if not storage.is_folder(source):
        raise ManifestError(f"{source}: no such folder; give the folder of a corpus in the {layout} layout")
    missing = [mark for mark in marks if not storage.exists(source / mark)]
    if missing:
        raise not_in_layout(source, layout, *missing)


def not_in_layout(source: Path, layout: str, *missing: str) -> ManifestError:
    """The error for a folder that lacks the marks of a layout."""
    return ManifestError(
        f"{source}: not in the {layout} layout, no {' and no '.join(missing)} there; "
        "give the corpus's own folder or choose another layout"
    )


def read_text(path: Path) -> str:
    """A UTF-8 text file of the corpus. Raises `ManifestError` naming it."""
    return files.read_text(path, ManifestError, REMEDY)


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers in the file, from 1."""
    lines = enumerate(files.read_lines(path, ManifestError, REMEDY), start=1)
    return [(number, line) for number, line in lines if line.strip()]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank."""
    return [line for _, line in numbered_lines(path)]


def read_keyed(path: Path) -> list[tuple[str, str]]:
    """Lines of the form `KEY the rest` as pairs; the rest may be empty."""
    return [(key, rest) for _, key, rest in files.read_table(path, ManifestError, REMEDY)]


def find_files(folder: Path, suffix: str) -> list[Path]:
    """All files below a folder whose names end in `suffix`, except hidden ones, in sorted order."""
    found = map(Path, storage.list_files(folder))
    return sorted(path for path in found if path.name.endswith(suffix) and not path.name.startswith("."))


def other_kinds(folder: Path, stem: str) -> str:
    """The problem with a transcript whose recording is of a kind that is not read, by its name; empty without one."""
    names = sorted(path.name for path in folder.glob(f"{glob.escape(stem)}.*") if path.suffix.lower() != ".txt")
    if not names:
        return ""
    return f"recording of a kind that is not read: {', '.join(names)}; convert it: ffmpeg -i {names[0]} {stem}.flac"


def pair(recordings: Iterable[Path], transcripts: Iterable[tuple[str, str]], folder: Path) -> Iterator[Candidate]:
    """Candidates from recordings and (id, text) pairs, matched by the recordings' names without suffix.

    A transcript without a recording (expected in `folder`) and a recording without a transcript are candidates with a
    problem.
    """
    recordings_of = defaultdict(list)
    for recording in recordings:
        recordings_of[recording.stem].append(recording)
    transcribed = set()
    for id, text in transcripts:
        transcribed.add(id)
        for recording in recordings_of.get(id, ()):
            yield Candidate(id, recording, text)
        if id not in recordings_of:
            problem = other_kinds(folder, id) or "no recording; copy it from the corpus again or remove its transcript"
            yield Candidate(id, folder / id, text, problem=problem)
    for id in sorted(recordings_of.keys() - transcribed):
        for recording in recordings_of[id]:
            yield Candidate(id, recording, "", problem="no transcript; add it or remove the recording")
