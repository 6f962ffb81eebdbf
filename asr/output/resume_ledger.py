"""The record behind `--resume`: which files of an output folder were written, from which recording and with what.

The ledger is a file in the folder, `.asr-written.jsonl`, with a line per written file. Before a file is written again
its line is revoked, so that a run killed in between leaves nothing that looks complete. The last line about a file
counts.
"""

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asr.utils.files import errors_naming, identity

NAME = ".asr-written.jsonl"


class Ledger:
    """The ledger of a folder, for outputs of `recordings` that depend on `settings` and on the files `made_with`, such
    as the model.

    A file is identified by path, size and modification time.
    """

    def __init__(self, folder: Path, recordings: Iterable[str], made_with: Iterable[Path], settings: dict[str, Any]):
        self._folder, self._path = folder, folder / NAME
        # Before they are read.
        self._recordings = {name: _identity(name) for name in recordings}
        made_by = json.dumps([[_identity(path) for path in made_with], settings], sort_keys=True)
        self._made_by = hashlib.sha256(made_by.encode()).hexdigest()[:16]
        self._lines = {line["file"]: line for line in self._read()}

    def has(self, path: Path, recording: str) -> bool:
        """Whether a file exists and was written from this recording as it is now, with the present settings."""
        line = self._line(path, recording)
        return path.is_file() and line["recording"] is not None and self._lines.get(line["file"]) == line

    def revoke(self, paths: Sequence[Path]) -> None:
        """Note that these files are about to be written."""
        self._append([{"file": self._key(path)} for path in paths if self._key(path) in self._lines])

    def enter(self, paths: Sequence[Path], recording: str) -> None:
        """Note that these files have been written."""
        self._append([self._line(path, recording) for path in paths])

    def _line(self, path: Path, recording: str) -> dict[str, Any]:
        return {"file": self._key(path), "recording": self._recordings[recording], "made_by": self._made_by}

    def _key(self, path: Path) -> str:
        return str(path.relative_to(self._folder))

    def _read(self) -> Iterable[dict[str, Any]]:
        if not self._path.exists():
            return
        for line in self._path.read_bytes().splitlines():
            try:
                yield {"file": None} | json.loads(line)
            except (ValueError, TypeError):
                continue  # an incomplete line of a run that was killed

    def _append(self, lines: list[dict[str, Any]]) -> None:
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


def _identity(path: str | os.PathLike) -> list | None:
    """None if it is no file, such as standard input."""
    try:
        return identity(os.path.abspath(path))
    except OSError:
        return None
