"""What the corpus readers share: the marks of a layout, its text files, recordings paired with transcripts."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from asr.data.corpora.base import Candidate
from asr.errors import ManifestError


def check_layout(source: Path, layout: str, *marks: str) -> None:
    """Raise `ManifestError` unless `source` is a folder that holds the files and folders that mark the layout."""
    if not source.is_dir():
        raise ManifestError(f"{source}: no such folder; give the folder of a corpus in the {layout} layout")
    missing = [mark for mark in marks if not (source / mark).exists()]
    if missing:
        raise not_in_layout(source, layout, *missing)


def not_in_layout(source: Path, layout: str, *missing: str) -> ManifestError:
    """The error for a folder that lacks what marks a layout."""
    return ManifestError(
        f"{source}: not in the {layout} layout, no {' and no '.join(missing)} there; "
        "give the corpus's own folder or choose another layout"
    )


def read_text(path: Path) -> str:
    """A UTF-8 text file, with "\\n" at the ends of its lines. Raises `ManifestError` naming the file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}; a file of the corpus is missing or unreadable") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 text (byte {error.start}); convert it to UTF-8") from error


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, each with its number in the file, from 1."""
    # Not splitlines(): that also cuts at U+2028 and other characters that may stand inside a transcript.
    lines = enumerate(read_text(path).split("\n"), start=1)
    return [(number, line) for number, line in lines if line.strip()]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank."""
    return [line for _, line in numbered_lines(path)]


def read_keyed(path: Path) -> list[tuple[str, str]]:
    """Lines of the form `KEY the rest` as pairs; the rest may be empty."""
    pairs = (line.split(maxsplit=1) for line in read_lines(path))
    return [(pair[0], pair[1].strip() if len(pair) > 1 else "") for pair in pairs]


def find_files(folder: Path, suffix: str) -> list[Path]:
    """All files below a folder whose names end in `suffix`, hidden ones left out, in sorted order."""
    found = (Path(top) / name for top, _, names in os.walk(folder, followlinks=True) for name in names)
    return sorted(path for path in found if path.name.endswith(suffix) and not path.name.startswith("."))


def pair(recordings: Iterable[Path], transcripts: Iterable[tuple[str, str]], folder: Path) -> Iterator[Candidate]:
    """Candidates from recordings and (id, text) pairs, matched by the recordings' names without suffix.

    A transcript without a recording (expected in `folder`) and a recording without a transcript are candidates
    with a problem.
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
            problem = "no recording; copy it from the corpus again or remove its transcript"
            yield Candidate(id, folder / id, text, problem=problem)
    for id in sorted(recordings_of.keys() - transcribed):
        for recording in recordings_of[id]:
            yield Candidate(id, recording, "", problem="no transcript; add it or remove the recording")
