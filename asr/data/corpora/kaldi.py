"""A Kaldi data directory (Povey et al. 2011; kaldi-asr.org/doc/data_prep.html). Spaces or tabs separate the columns.

wav.scp     RECORDING PATH
text        UTTERANCE TEXT
utt2spk     UTTERANCE SPEAKER              if absent, speakers are unknown
segments    UTTERANCE RECORDING START END  in seconds, END -1 for the end; if absent, recordings are utterances
"""

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from asr.data.config import KaldiConfig
from asr.data.corpora.base import Candidate
from asr.data.corpora.reading import check_layout, read_keyed
from asr.errors import ManifestError
from asr.utils import storage
from asr.utils.files import replacing


@dataclass(frozen=True)
class _DataDirectory:
    """Its files as dictionaries; None where an optional file is absent."""

    folder: Path
    recordings: dict[str, str]
    speakers: dict[str, str] | None
    segments: dict[str, str] | None
    written: Path | None  # folder for what the commands in wav.scp write; None: they are not run
    outputs: dict[str, Path] = field(default_factory=dict)  # of the commands that have been run, by recording


def read(source: Path, folder: Path, config: KaldiConfig) -> Iterator[Candidate]:
    """Candidates of one subset, named like the directory.

    Commands in wav.scp (`sox ... |`) are run only if `config` says so, and write into `folder`; else their utterances
    are candidates with a problem. Paths in it are
    relative to the data directory or, as in Kaldi, to the working folder.
    """
    check_layout(source, "kaldi", "wav.scp", "text")
    directory = _DataDirectory(
        storage.resolved(source),
        _lookup(source / "wav.scp"),
        _lookup(source / "utt2spk") if storage.is_file(source / "utt2spk") else None,
        _lookup(source / "segments") if storage.is_file(source / "segments") else None,
        folder if config.run_commands else None,
    )
    texts = read_keyed(source / "text")
    for id, text in texts:
        yield _candidate(id, text, directory)
    listed = directory.recordings if directory.segments is None else directory.segments
    for id in sorted(listed.keys() - {id for id, _ in texts}):
        yield _faulty(id, "", directory, "no transcript; add it to the file 'text'")


def _lookup(path: Path) -> dict[str, str]:
    values = {}
    for key, value in read_keyed(path):
        if key in values:
            raise ManifestError(f"{path}: '{key}' has two lines; keep the correct one")
        values[key] = value
    return values


def _candidate(id: str, text: str, directory: _DataDirectory) -> Candidate:
    try:
        recording, offset, duration = _segment(id, directory.segments)
        audio = _audio(recording, directory)
        speaker = _speaker(id, directory.speakers)
    except ValueError as error:
        return _faulty(id, text, directory, str(error))
    return Candidate(id, audio, text, speaker, directory.folder.name, offset, duration)


def _faulty(id: str, text: str, directory: _DataDirectory, problem: str) -> Candidate:
    return Candidate(id, directory.folder / "wav.scp", text, subset=directory.folder.name, problem=problem)


def _segment(id: str, segments: dict[str, str] | None) -> tuple[str, float, float | None]:
    """The recording, the offset and the duration (None: to the end), in seconds, of an utterance."""
    if segments is None:
        return id, 0.0, None
    if id not in segments:
        raise ValueError("no segment; add the utterance to the file 'segments' or remove its text")
    try:
        recording, start, end = segments[id].split()
        start, end = float(start), float(end)
    except ValueError:
        raise ValueError(f"broken segment: '{id} {segments[id]}' is not UTTERANCE RECORDING START END") from None
    return recording, start, None if end == -1 else end - start


def _audio(recording: str, directory: _DataDirectory) -> Path:
    if recording not in directory.recordings:
        raise ValueError(f"no recording; add '{recording}' to wav.scp or remove the utterance")
    path = directory.recordings[recording]
    if path.endswith("|"):
        if directory.written is None:
            raise ValueError("wav.scp has a command instead of a file; --kaldi.run_commands runs it if you trust it")
        if recording not in directory.outputs:
            directory.outputs[recording] = _run(path.removesuffix("|"), directory.written / f"{recording}.wav")
        return directory.outputs[recording]
    inside = storage.join(directory.folder, path)
    return inside if storage.is_url(inside) or inside.exists() else Path(path).absolute()


def _run(command: str, output: Path) -> Path:
    """Run a command in the working folder, as Kaldi does, with its standard output going to a file."""
    with tempfile.TemporaryFile() as errors, replacing(output) as stream:
        done = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, stdout=stream, stderr=errors)
        errors.seek(0)
        last = errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        if done.returncode:
            raise ValueError(f"command failed with status {done.returncode}: {command.strip()}: {last}")
    return output


def _speaker(id: str, speakers: dict[str, str] | None) -> str:
    if speakers is None:
        return ""
    if not speakers.get(id):
        raise ValueError("no speaker; add the utterance to utt2spk")
    return speakers[id]
