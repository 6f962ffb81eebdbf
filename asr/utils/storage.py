"""Files by path or URL: s3://, gs://, az://, http(s)://, hf:// and memory:// wherever a path does.

A URL may be kept in a `Path`, whose `/`, `parent`, `name` and `suffix` work for it: pathlib shortens `s3://` to `s3:/`,
which `url` undoes. What is not local goes to `asr.utils.object_store`, which needs the extra `remote`; local files need
nothing of it. Errors are `OSError` with the URL as their file name.
"""

import glob as local_glob
import io
import os
import posixpath
import re
from pathlib import Path

from asr.errors import SCHEMES, AsrError
from asr.utils import object_store

MODEL_NAME = "model.safetensors"  # of the model in a folder that a URL names
URL = re.compile(rf"({'|'.join(SCHEMES)}):(?:/+(.*))?", re.DOTALL)

Name = str | os.PathLike[str]


def url(path: Name) -> str | None:
    """The URL that a text or `Path` holds; None for a local path. Raises `AsrError` for a scheme alone, such as hf://."""
    text = os.fspath(path)
    found = URL.fullmatch(text) if isinstance(text, str) and ":" in text else None
    if not found:
        return None
    scheme, rest = found.groups()
    if not rest:
        raise AsrError(f"{scheme}://: incomplete address; it is of the form {scheme}://PLACE/NAME")
    if "/.." in rest:  # relative names, as in manifests
        rest = posixpath.normpath(rest)
    return f"{scheme}://{rest}"


def is_url(path: Name) -> bool:
    """Whether `path` is a URL rather than a local path."""
    return url(path) is not None


def shown(path: Name) -> str:
    """The path as the user wrote it, for messages and outputs."""
    return url(path) or str(path)


def absolute(path: Name) -> str:
    """The absolute form of a path, by which two names of one file are equal; of a URL one that begins with `/`, too."""
    found = url(path)
    return f"/{found}" if found else os.path.abspath(path)


def resolved(path: Path) -> Path:
    """The path without `..` and symbolic links; a URL as it is."""
    return path if is_url(path) else path.resolve()


def join(folder: Path, name: str) -> Path:
    """A name given in a file of `folder`: a URL, an absolute path, or a path relative to the folder."""
    return Path(name) if is_url(name) else folder / name


def in_folder(path: Name, name: str) -> Path:
    """`path` itself or, if it is a URL without a suffix, and so of a folder, the file `name` in it."""
    path = Path(path)
    return path / name if is_url(path) and not path.suffix else path


def open_binary(path: Name) -> io.RawIOBase:
    """A seekable stream that reads a file without a buffer of its own. Objects are read in blocks when needed."""
    found = url(path)
    if found is None:
        return open(path, "rb", buffering=0)
    return object_store.open_object(found)


def read_bytes(path: Name) -> bytes:
    """The contents of a file."""
    with open_binary(path) as stream:
        return stream.read()


def read_range(path: Name, start: int, count: int) -> bytes:
    """Up to `count` bytes of a file from `start`: of an object in one request."""
    found = url(path)
    if found is not None:
        return object_store.read_range(found, start, start + count)
    with open(path, "rb") as stream:
        stream.seek(start)
        return stream.read(count)


def is_file(path: Name) -> bool:
    """Whether there is such a file."""
    found = url(path)
    if found is None:
        return os.path.isfile(path)
    return object_store.has_object(found)


def is_folder(path: Name) -> bool:
    """Whether there is such a folder; for a URL, whether there is anything below it."""
    return bool(list_files(path)) if is_url(path) else os.path.isdir(path)


def exists(path: Name) -> bool:
    """Whether there is such a file or folder."""
    return os.path.exists(path) if not is_url(path) else is_file(path) or is_folder(path)


def list_files(folder: Name) -> list[str]:
    """All files below a folder or prefix, in no particular order."""
    found = url(folder)
    if found is None:
        return [
            os.path.join(top, name) for top, _, names in os.walk(os.fspath(folder), followlinks=True) for name in names
        ]
    return object_store.list_objects(found)


def files_in(folder: Path) -> list[Path]:
    """The files of a folder, or of a prefix, but for those in folders below it, sorted."""
    if is_url(folder):
        return sorted(path for path in map(Path, list_files(folder)) if path.parent == folder)
    return sorted(path for path in folder.iterdir() if path.is_file())


def has_magic(path: str) -> bool:
    """Whether a name is a pattern. In a web address `?` begins a query, and is none."""
    return local_glob.has_magic(path) and not path.startswith(("http:", "https:"))


def glob(pattern: str) -> list[str]:
    """The files that match a pattern, sorted; `**` matches folders of any depth."""
    found = url(pattern)
    if found is None:
        return sorted(path for path in local_glob.glob(pattern, recursive=True) if os.path.isfile(path))
    return object_store.glob_objects(found)


def identity(path: Name) -> list:
    """Path, size in bytes and modification time (of an object its checksum), by which a change is noticed."""
    found = url(path)
    if found is None:
        file = os.stat(path)
        return [str(path), file.st_size, file.st_mtime_ns]
    return object_store.object_identity(found)
