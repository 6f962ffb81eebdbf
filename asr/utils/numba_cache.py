"""Compilation of inner loops by Numba, and the cache of the compiled code.

Numba considers a cached function valid while its own file is unchanged, even if a function that it calls in another
file has changed. So the cache folder is named by a hash of all sources with compiled functions; older ones are removed.
"""

import functools
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numba

from asr.utils.cache_folder import is_writable, user_cache

PACKAGE = Path(__file__).parent.parent


def compiled(function: Callable | None = None, **options):
    """Compile a function over arrays at its first call, without the GIL, and cache the result if there is a folder."""
    if function is None:
        return functools.partial(compiled, **options)
    folder = cache_folder()
    if folder is None:
        return numba.njit(nogil=True, **options)(function)
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
    try:
        return numba.njit(nogil=True, cache=True, **options)(function)
    finally:
        numba.config.CACHE_DIR = before


#: For functions that create no arrays: without Numba's reference counts, whose two atomic instructions per array and
#: call took most of the search's time.
kernel = compiled(_nrt=False)


@functools.cache
def cache_folder() -> Path | None:
    """The folder of compiled functions: below NUMBA_CACHE_DIR, in the package, or in the user's cache folder, whichever
    is writable first. None where nothing is."""
    named = numba.config.CACHE_DIR
    parents = [Path(named)] if named else []
    parent = next(filter(is_writable, [*parents, PACKAGE / "__pycache__"]), None) or user_cache()
    if parent is None:
        return None
    folder = parent / f"compiled-{_digest()}"
    for older in set(parent.glob("compiled-*")) - {folder}:
        shutil.rmtree(older, ignore_errors=True)
    return folder


def _digest() -> str:
    digest = hashlib.blake2b(digest_size=8)
    for source in sorted(PACKAGE.rglob("*.py")):
        content = source.read_bytes()
        if b"numba_cache" in content:  # the others contain no compiled functions
            digest.update(content)
    return digest.hexdigest()
