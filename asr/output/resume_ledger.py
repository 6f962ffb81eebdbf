"""The record behind `--resume`: which files of an output folder were written, from which recording and with what.

In a folder the ledger is a file, `.asr-written.jsonl`, with a line per written file; the last line about a file counts.
Object stores cannot append to a file, so there it is the folder `.asr-written` with an object per written file. Before
a file is written again its entry is revoked, so that a run killed in between leaves nothing that looks complete.
"""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from asr.utils import object_store, storage
from asr.utils.files import errors_naming

NAME, FOLDER = ".asr-written.jsonl", ".asr-written"
REQUESTS = 32  # at a time, when a ledger is read

Line = dict[str, Any]


class Ledger:
    """The ledger of a folder, for outputs of `recordings` that depend on `settings` and on the files `made_with`, such
    as the model.

    A file is identified by path, size and modification time, an object by its checksum.
    """

    def __init__(self, folder: Path, recordings: Iterable[str], made_with: Iterable[Path], settings: dict[str, Any]):
        self.folder = folder
        # Before they are read.
        self._recordings = {name: _identity(name) for name in recordings}
        made_by = json.dumps([[_identity(path) for path in made_with], settings], sort_keys=True)
        self._made_by = hashlib.sha256(made_by.encode()).hexdigest()[:16]
        self._lines: dict[str, Line] = {}  # by file
        self._store = _Objects(folder / FOLDER) if storage.is_url(folder) else _LinesOfFile(folder / NAME)
        self.read()

    def read(self, paths: Sequence[Path] | None = None) -> None:
        """Read the ledger, to which other processes may write: at least what it has about these files."""
        files = None if paths is None else list(map(self._key, paths))
        self._lines.update((line["file"], line) for line in self._store.read(files))

    def has(self, path: Path, recording: str) -> bool:
        """Whether a file exists and was written from this recording as it is now, with the present settings."""
        line = self._line(path, recording)
        is_noted = line["recording"] is not None and self._lines.get(line["file"]) == line
        return is_noted and storage.is_file(path)

    def revoke(self, paths: Sequence[Path]) -> None:
        """Note that these files are about to be written."""
        self._store.write([{"file": self._key(path)} for path in paths if self._key(path) in self._lines])

    def enter(self, paths: Sequence[Path], recording: str) -> None:
        """Note that these files have been written."""
        self._store.write([self._line(path, recording) for path in paths])

    def _line(self, path: Path, recording: str) -> Line:
        return {"file": self._key(path), "recording": self._recordings[recording], "made_by": self._made_by}

    def _key(self, path: Path) -> str:
        return str(path.relative_to(self.folder))


class _LinesOfFile:
    """Lines in a file, to which several threads and processes may append."""

    def __init__(self, path: Path):
        self._path = path

    def read(self, files: Sequence[str] | None) -> Iterable[Line]:
        """All lines."""
        if self._path.exists():
            yield from map(_decode, self._path.read_bytes().splitlines())

    def write(self, lines: list[Line]) -> None:
        # Lines begin with the line end, in case the last one is incomplete; one call, as threads write concurrently.
        data = b"".join(b"\n" + json.dumps(line).encode() for line in lines)
        if not data:
            return
        with errors_naming(self._path):
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                if os.write(handle, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(handle)


class _Objects:
    """Lines as objects below a URL, named by the files that they are about."""

    def __init__(self, folder: Path):
        object_store.check_writable(storage.shown(folder))
        self._folder = folder

    def read(self, files: Sequence[str] | None) -> Iterable[Line]:
        """The lines about some files, or all."""
        if files is not None:
            names = list(map(self._name, files))
        else:
            # With the outputs, for which `Ledger.has` then needs no requests.
            listed = storage.list_files(self._folder.parent)
            names = [name for name in listed if Path(name).is_relative_to(self._folder)]
        with ThreadPoolExecutor(REQUESTS) as pool:
            return list(map(_decode, pool.map(self._content, names)))

    def _name(self, file: str) -> str:
        return storage.shown(self._folder / f"{file}.json")

    def _content(self, name: str) -> bytes:
        """The line; nothing if another run has removed it meanwhile."""
        with contextlib.suppress(FileNotFoundError):
            return storage.read_bytes(name)
        return b""

    def write(self, lines: list[Line]) -> None:
        for line in lines:
            name = self._name(line["file"])
            if "made_by" in line:
                object_store.put(name, json.dumps(line).encode())
            else:
                object_store.remove(name)


def _decode(line: bytes) -> Line:
    """A line, about no file if a run was killed while writing it."""
    with contextlib.suppress(ValueError, TypeError):
        return {"file": None} | json.loads(line)
    return {"file": None}


def _identity(path: str | os.PathLike) -> list | None:
    """None if it is not a file, such as standard input."""
    try:
        return storage.identity(path if storage.is_url(path) else os.path.abspath(path))
    except OSError:
        return None
