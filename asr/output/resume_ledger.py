"""What was written into an output folder, from which recording and by what: `--resume` goes by it.

The ledger is a file of the folder, `.asr-written.jsonl`, with a line for each file that has been written. Before a file
is written anew its line is revoked, so that a run that is killed in between leaves nothing that looks done. Of several
lines about one file the last one holds.
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
    """The ledger of a folder, for what is now to be written of these recordings, by `settings` and with the files
    `made_with`: the model and whatever else its output depends on.

    A file is recognised by its path, size and time of change; one that was changed since is another one.
    """

    def __init__(self, folder: Path, recordings: Iterable[str], made_with: Iterable[Path], settings: dict[str, Any]):
        self._folder, self._path = folder, folder / NAME
        # As they are now, before they are read.
        self._recordings = {name: _identity(name) for name in recordings}
        made_by = json.dumps([[_identity(path) for path in made_with], settings], sort_keys=True)
        self._made_by = hashlib.sha256(made_by.encode()).hexdigest()[:16]
        self._lines = {line["file"]: line for line in self._read()}

    def has(self, path: Path, recording: str) -> bool:
        """Whether a file is there and was written from this recording, as it is now, in the way of now."""
        line = self._line(path, recording)
        return path.is_file() and line["recording"] is not None and self._lines.get(line["file"]) == line

    def revoke(self, paths: Sequence[Path]) -> None:
        """These files are going to be written anew."""
        self._append([{"file": self._key(path)} for path in paths if self._key(path) in self._lines])

    def enter(self, paths: Sequence[Path], recording: str) -> None:
        """These files have been written."""
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
                continue  # half a line, of a run that was killed: what it was about is not known to be done

    def _append(self, lines: list[dict[str, Any]]) -> None:
        # Each line brings its own beginning, in case the last one has no end; one call, as threads may write at once.
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
    """None for what is no file, such as standard input."""
    try:
        return identity(os.path.abspath(path))
    except OSError:
        return None
