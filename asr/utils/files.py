"""Atomic writing of files, and reading of text files."""

import contextlib
import errno
import fcntl
import functools
import io
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from asr.errors import AsrError
from asr.utils import storage
from asr.utils.object_store import check_writable, upload

PREFIX, SUFFIX = ".asr-", ".part"  # of files that are being written


def make_folder(path: str | os.PathLike) -> Path:
    """Create a folder and its parents if missing; object stores need none. Raises `OSError` naming it when a file is in
    its place."""
    if url := storage.url(path):
        check_writable(url)
        return Path(path)
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError as error:
        # "File exists" would suggest that an old result is in the way.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
    return Path(path)


def read_text(path: str | os.PathLike, kind: type[AsrError], remedy: str) -> str:
    """The contents of a UTF-8 text file without its byte order mark, with "\\n" as line end.

    Raises an error of `kind` naming the file, with `remedy` if it cannot be opened.
    """
    name = storage.shown(path)
    try:
        with io.TextIOWrapper(io.BufferedReader(storage.open_binary(path)), encoding="utf-8-sig") as stream:
            return stream.read()
    except OSError as error:
        raise kind(f"{name}: {error.strerror}; {remedy}") from error
    except UnicodeDecodeError as error:
        raise kind(
            f"{name}: not UTF-8 text ({error.reason} at byte {error.start}); convert it to UTF-8 with iconv"
        ) from error


def read_lines(path: str | os.PathLike, kind: type[AsrError], remedy: str) -> list[str]:
    """The lines of a UTF-8 text file; errors as in `read_text`.

    Only LF, CRLF and CR end a line. U+0085, U+2028 and vertical tabs, at which `str.splitlines` cuts too, may stand
    inside a transcript.
    """
    text = read_text(path, kind, remedy)
    return text.removesuffix("\n").split("\n") if text else []


def read_table(path: str | os.PathLike, kind: type[AsrError], remedy: str) -> list[tuple[int, str, str]]:
    """The rows of a table as Kaldi writes them, `KEY the rest`, as (line number from 1, key, rest).

    Spaces or tabs separate the two; the rest may be empty; blank lines are left out. Errors as in `read_text`.
    """
    rows = []
    for number, line in enumerate(read_lines(path, kind, remedy), start=1):
        if line.strip():
            key, *rest = re.split(r"[ \t\v\f]+", line.strip(), maxsplit=1)
            rows.append((number, key, rest[0] if rest else ""))
    return rows


def is_among(path: Path, others: Iterable[Path]) -> bool:
    """Whether `path` exists and is one of `others`, so that writing it would destroy an input."""
    if storage.is_url(path):
        return any(storage.url(other) == storage.url(path) for other in others)
    return path.exists() and any(other.exists() and other.samefile(path) for other in others)


def write_atomically(path: str | os.PathLike, data: bytes | str) -> Path:
    """Write `data` to a temporary file and rename it to `path`, as `replacing` does. Text is encoded as UTF-8."""
    with replacing(path) as stream:
        stream.write(data.encode() if isinstance(data, str) else data)
    return Path(path)


def write_together(contents: Mapping[Path, bytes | str]) -> None:
    """Write several files, all or none: nothing is renamed before all of them are on disk. Objects appear one by one,
    each complete."""
    with contextlib.ExitStack() as stack:
        for path, data in contents.items():
            stream = stack.enter_context(replacing(path))
            with errors_naming(path):
                stream.write(data.encode() if isinstance(data, str) else data)
                _to_disk(stream)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[io.BufferedWriter]:
    """A stream to a temporary file that replaces `path` at the end: after a crash there is the old file or the new one.

    Missing folders are created. Raises `OSError` naming `path` when the folder is not writable or the disk is full. No
    temporary file remains after an error; those of killed processes are removed when another process first writes into
    the folder. An object, too, is uploaded from a temporary file, and appears when all of it has arrived.
    """
    if url := storage.url(path):
        with tempfile.NamedTemporaryFile(prefix=PREFIX, suffix=SUFFIX) as stream:
            yield cast(io.BufferedWriter, stream)
            stream.flush()
            upload(stream.name, url)
        return
    path = Path(path)
    with errors_naming(path):
        make_folder(path.parent)
        _sweep(path.parent.absolute())
        handle, temporary = _make_temporary(path.parent)
    try:
        with errors_naming(path, temporary), os.fdopen(handle, "wb") as stream:
            os.fchmod(handle, 0o666 & ~_umask())
            yield stream
            _to_disk(stream)
            os.replace(temporary, path)  # before the lock goes with the handle
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _make_temporary(folder: Path) -> tuple[int, str]:
    """An open, locked file and its name. The lock shows `_sweep` that the writing process is alive, and ends with it.
    Where the file system has no locks, nothing is swept."""
    while True:
        # A fixed prefix rather than the file's name: a name near the length limit must still work.
        handle, name = tempfile.mkstemp(dir=folder, prefix=PREFIX, suffix=SUFFIX)
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)  # another process removed it before it was locked


@functools.cache
def _sweep(folder: Path) -> None:
    """Remove temporary files of killed processes from a folder; once per process, since a folder may be large."""
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with contextlib.suppress(OSError), path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _to_disk(stream: io.BufferedWriter) -> None:
    stream.flush()
    os.fsync(stream.fileno())


@contextlib.contextmanager
def errors_naming(path: Path, temporary: str | None = None) -> Iterator[None]:
    """Make disk errors name `path`, which the user knows, instead of the temporary file; others keep their name."""
    try:
        yield
    except OSError as error:
        if temporary and error.filename not in (None, temporary):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
