"""Local copies of objects, for files that must be local: models are mapped into memory."""

import functools
import hashlib
import os
import tempfile
from pathlib import Path

from asr.errors import addresses
from asr.utils import storage
from asr.utils.cache_folder import user_cache
from asr.utils.files import replacing
from asr.utils.object_store import copy_object


def local_copy(path: str | os.PathLike) -> Path:
    """The file itself or, of a URL, a copy in the cache folder, made once per version; messages of errors name the URL.

    Raises `OSError`."""
    url = storage.url(path)
    if url is None:
        return Path(path)
    version = hashlib.sha256(repr(storage.identity(url)).encode()).hexdigest()[:16]
    folder = (user_cache() or _temporary_folder()) / "copies"
    copy = folder / f"{version}-{Path(path).name}"
    addresses[str(copy)] = url
    if not copy.exists():
        with replacing(copy) as stream:
            copy_object(url, stream)
    return copy


@functools.cache
def _temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="asr-"))
