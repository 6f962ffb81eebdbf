"""Writing files whole or not at all."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def make_folder(path: str | os.PathLike) -> Path:
    """A folder, made with those above it if need be. Raises `OSError` with its name when a file is in its place."""
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError as error:
        # "File exists" would sound as if an old result were in the way.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
    return Path(path)


def write_atomically(path: str | os.PathLike, data: bytes | str) -> Path:
    """Write `data` beside `path`, then rename, as `replacing` does. Text is written as UTF-8."""
    with replacing(path) as stream:
        stream.write(data.encode() if isinstance(data, str) else data)
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A stream that writes beside `path` and is renamed at the end: a reader, or a crash, sees the old file or the
    new one.

    Folders on the way are made. Raises `OSError`, with the final file's name in it, when the folder is not writable
    or the disk is full; nothing is left behind then, nor after any other error inside the block.
    """
    path = Path(path)
    temporary = None
    try:
        make_folder(path.parent)
        # A fixed prefix rather than the file's name: a name near the length limit must still work.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".asr-", suffix=".part")
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), 0o666 & ~_umask())
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        if isinstance(error, OSError):
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
