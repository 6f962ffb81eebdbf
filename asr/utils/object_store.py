"""Objects of stores and web servers, through fsspec (https://filesystem-spec.readthedocs.io): reading by blocks,
listing, atomic uploads.

Every call is repeated when it fails for a reason that may pass. What remains is an `OSError` with a short reason and
the URL as its file name.
"""

import contextlib
import errno
import importlib
import io
import json
import os
import random
import re
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

from asr.errors import AsrError
from asr.utils.extras import DISTRIBUTION, EXTRAS

T = TypeVar("T")

ATTEMPTS = 6
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0  # seconds between attempts, each three times the one before, with 50% of jitter
CONNECT_SECONDS, READ_SECONDS = 10, 20  # until an attempt counts as timed out
BLOCK = 4 << 20  # bytes per request: enough for full speed, and small files come whole
BLOCKS = 4  # kept per open file, as decoders jump back to headers

PACKAGES = {  # of a scheme
    **{"s3": "s3fs", "s3a": "s3fs", "http": "aiohttp", "https": "aiohttp"},
    **{"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "hf": "huggingface_hub"},
}
BUCKETS = ("s3fs", "gcsfs", "adlfs")  # packages of object stores
CHECKSUMS = ("ETag", "etag", "md5Hash", "content_md5", "blob_id", "LastModified", "Last-Modified", "updated", "created")

NO_BUCKET = re.compile("no ?such ?bucket|bucket does not exist", re.IGNORECASE)

# What repeating cannot help: errors of programs, and error numbers.
FAULTS = (TypeError, AttributeError, LookupError, AssertionError, NotImplementedError, ImportError)
LASTING = (
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EINVAL),
    *(errno.ENOSYS, errno.ENOSPC, errno.ENAMETOOLONG, errno.EROFS),
)

_listed: dict[str, dict[str, Any]] = {}  # properties from listings, which save a request per object


class ObjectReader(io.RawIOBase):
    """An object as a seekable stream, read in blocks, the last of which are kept."""

    def __init__(self, url: str, info: dict[str, Any]):
        self.url, self.size = url, int(info["size"])
        self.identity = (url, self.size, _checksum(info))
        self.failure: OSError | None = None  # of the last reading
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of every stream."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def close(self) -> None:
        """Close it and drop what was read: caches keep files that they have seen."""
        self._blocks.clear()
        super().close()

    def readinto(self, buffer) -> int:
        """As of every stream."""
        data = self.read_at(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readall(self) -> bytes:
        """The rest, which is a request per block rather than per 8 KB."""
        data = self.read_at(self._position, max(0, self.size - self._position))
        self._position += len(data)
        return data

    def read_at(self, start: int, count: int) -> bytes:
        """Up to `count` bytes from `start`; fewer at the end of the object. Raises `OSError`, kept as `failure`."""
        end = min(start + count, self.size)
        parts = []
        try:
            while start < end:
                block = self._block(start // BLOCK)
                parts.append(block[start % BLOCK : start % BLOCK + end - start])
                start += len(parts[-1])
        except OSError as error:
            self.failure = error
            raise
        return b"".join(parts)

    def _block(self, index: int) -> bytes:
        with self._lock:
            if index not in self._blocks:
                start, end = index * BLOCK, min(self.size, (index + 1) * BLOCK)
                self._blocks[index] = read_range(self.url, start, end)
                if len(self._blocks) > BLOCKS:
                    self._blocks.popitem(last=False)
            self._blocks.move_to_end(index)
            return self._blocks[index]


def _read_range(url: str, start: int, end: int) -> bytes:
    data = _filesystem(url).cat_file(url, start=start, end=end)
    if len(data) != end - start:
        raise ConnectionError(f"{len(data)} of {end - start} bytes arrived, or the file has changed")
    return data


def read_range(url: str, start: int, end: int) -> bytes:
    """The bytes of an object from `start` to `end`. Raises `OSError`, too, if it is shorter."""
    return _repeat(url, lambda: _read_range(url, start, end))


def open_object(url: str) -> io.RawIOBase:
    """A stream that reads an object; a whole copy on disk where a web server cannot send a part of it."""
    info = _info(url)
    if info.get("type") == "directory":
        raise IsADirectoryError(errno.EISDIR, "is a folder", url)
    if info.get("size") is not None and (info["size"] <= BLOCK or _repeat(url, lambda: _sends_parts(url))):
        return ObjectReader(url, info)
    copy = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (returned)
    copy_object(url, copy)
    copy.seek(0)
    return copy


def _sends_parts(url: str) -> bool:
    if not url.startswith("http"):
        return True
    try:
        with _filesystem(url).open(url, "rb", cache_type="none") as stream:
            stream.seek(1)
            return len(stream.read(1)) == 1
    except ValueError:  # of fsspec
        return False


def copy_object(url: str, stream: io.RawIOBase | BinaryIO) -> None:
    """Write the contents of an object into an open file. Raises `OSError`."""

    def copy() -> None:
        stream.seek(0)
        stream.truncate()
        with _filesystem(url).open(url, "rb", cache_type="readahead") as source:
            shutil.copyfileobj(source, stream, BLOCK)
        stream.flush()

    _repeat(url, copy)


def has_object(url: str) -> bool:
    """Whether there is an object of this name. Raises `OSError` when the store cannot be asked."""
    try:
        return _info(url).get("type") != "directory"
    except FileNotFoundError:
        return False


def list_objects(url: str) -> list[str]:
    """The URLs of all objects below a prefix. Raises `OSError`."""
    return _remember(url, _repeat_in_bucket(url, lambda: _filesystem(url).find(url, detail=True)))


def glob_objects(pattern: str) -> list[str]:
    """The URLs of all objects that match a pattern, sorted. Raises `OSError`."""
    found = _repeat(pattern, lambda: _filesystem(pattern).glob(pattern, detail=True))
    return sorted(_remember(pattern, found))


def _remember(url: str, found: dict[str, dict[str, Any]]) -> list[str]:
    scheme = url.partition("://")[0]
    files = {
        name if "://" in name else f"{scheme}://{name.lstrip('/')}": info
        for name, info in found.items()
        if info.get("type") != "directory"
    }
    _listed.update(files)
    return list(files)


def object_identity(url: str) -> list:
    """URL, size and checksum (or time of change, if the store has no other)."""
    info = _info(url)
    return [url, info.get("size"), _checksum(info)]


def _info(url: str) -> dict[str, Any]:
    return _listed.get(url) or _repeat(url, lambda: _filesystem(url).info(url))


def _checksum(info: dict[str, Any]) -> str:
    return next((str(info[key]) for key in CHECKSUMS if info.get(key)), "")


def upload(source: str | os.PathLike, url: str) -> None:
    """Make an object of a local file; it appears complete or not at all. Raises `OSError`."""
    _write(url, lambda: _filesystem(url).put_file(os.fspath(source), url))


def put(url: str, data: bytes) -> None:
    """Make an object of a few bytes."""
    _write(url, lambda: _filesystem(url).pipe_file(url, data))


def _write(url: str, call: Callable[[], object]) -> None:
    check_writable(url)
    _listed.pop(url, None)
    _repeat_in_bucket(url, call)


def remove(url: str) -> None:
    """Remove an object if it is there."""
    _listed.pop(url, None)
    with contextlib.suppress(FileNotFoundError):
        _repeat(url, lambda: _filesystem(url).rm_file(url))


def check_writable(url: str) -> None:
    """Raise `OSError` for a URL of a kind that cannot be written."""
    if url.startswith("http"):
        raise OSError(errno.EROFS, "a web server takes no files; write to a folder or an object store", url)


def _filesystem(url: str):
    scheme = url.partition("://")[0]
    try:
        import fsspec

        if package := PACKAGES.get(scheme):
            importlib.import_module(package)
    except ImportError as error:
        package = error.name or PACKAGES[scheme]
        wanted = f"'{DISTRIBUTION}[{EXTRAS[package]}]'" if package in EXTRAS else package
        raise AsrError(f"{url}: {scheme}:// needs {package}, which is not installed; pip install {wanted}") from error
    options: dict[str, Any] = {}
    if PACKAGES.get(scheme) == "s3fs":
        timeouts = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
        options = {"config_kwargs": {"retries": {"total_max_attempts": 1}, **timeouts}}
    elif PACKAGES.get(scheme) == "aiohttp":
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        options = {"client_kwargs": {"timeout": timeout}}
    # Listings are kept here, where they are dropped when an object is written.
    system = fsspec.filesystem(scheme, use_listings_cache=False, **options)
    if hasattr(system, "retries"):
        system.retries = 1  # `_repeat` repeats
    return system


def _repeat(url: str, call: Callable[[], T]) -> T:
    """The result of a call, which is tried several times. Raises `OSError` naming the URL."""
    attempt = 1
    while True:
        try:
            return call()
        except (AsrError, *FAULTS):
            raise
        except Exception as error:
            number, reason = _explain(error)
            if number in LASTING:
                raise OSError(number, reason, url) from error
            if attempt == ATTEMPTS:
                raise OSError(number, f"{reason} ({ATTEMPTS} attempts)", url) from error
        time.sleep(min(LONGEST_WAIT, FIRST_WAIT * 3 ** (attempt - 1)) * random.uniform(0.5, 1.5))
        attempt += 1


def _repeat_in_bucket(url: str, call: Callable[[], T]) -> T:
    """`_repeat` of a call that needs no object, so that what an object store lacks is the bucket."""
    try:
        return _repeat(url, call)
    except FileNotFoundError as error:
        if PACKAGES.get(url.partition("://")[0]) not in BUCKETS:
            raise
        raise FileNotFoundError(errno.ENOENT, "no such bucket", url) from error


def _explain(error: Exception) -> tuple[int, str]:
    """An error number, and the reason in a few words."""
    # fsspec takes a web server that cannot be reached for a file that is not there.
    if isinstance(error, FileNotFoundError) and type(error.__cause__).__module__.startswith("aiohttp"):
        error = error.__cause__
    text = str(error).strip() or type(error).__name__
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, FileNotFoundError) or status == 404:
        return errno.ENOENT, "no such bucket" if NO_BUCKET.search(text) else "no such file"
    if "Credential" in type(error).__name__ or "credential" in text.lower():
        return errno.EACCES, "no credentials for this store; set them as its own tools expect"
    if isinstance(error, PermissionError) or status in (401, 403):
        return errno.EACCES, "no permission"
    if isinstance(error, TimeoutError) or "imeout" in type(error).__name__ or "timed out" in text:
        return errno.ETIMEDOUT, "timed out"
    if isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError):
        return errno.EINVAL, text  # an address that the store's library refuses
    if "onnect" in type(error).__name__:
        return errno.EIO, f"cannot connect, or the connection broke ({text})"
    return getattr(error, "errno", None) or errno.EIO, text
