"""How inner functions are compiled, and where the compiled code is kept.

Numba takes a cached function as good while its own file has not changed, even if a function that it calls, in another
file, has. So the cache is named by the source of all files with compiled functions; an older one is removed.
"""

import functools
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numba

PACKAGE = Path(__file__).parent.parent


def compiled(function: Callable | None = None, **options):
    """Compile a function over arrays by numba at its first call, without Python's lock, and keep the result on disk."""
    if function is None:
        return functools.partial(compiled, **options)
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(cache_folder())
    try:
        return numba.njit(nogil=True, cache=True, **options)(function)
    finally:
        numba.config.CACHE_DIR = before


#: For functions that make no arrays: also without the reference counts that numba otherwise keeps, two atomic
#: instructions for each array at each call, which took most of the search's time.
kernel = compiled(_nrt=False)


@functools.cache
def cache_folder() -> Path:
    """The folder of compiled functions: below NUMBA_CACHE_DIR if that is set, else in the package, else in the user's
    cache folder when the package's is not writable."""
    own = PACKAGE / "__pycache__"
    if numba.config.CACHE_DIR:
        parent = Path(numba.config.CACHE_DIR)
    elif os.access(own if own.exists() else PACKAGE, os.W_OK):
        parent = own
    else:
        parent = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "asr"
    folder = parent / f"compiled-{_digest()}"
    for older in set(parent.glob("compiled-*")) - {folder}:
        shutil.rmtree(older, ignore_errors=True)
    return folder


def _digest() -> str:
    digest = hashlib.blake2b(digest_size=8)
    for source in sorted(PACKAGE.rglob("*.py")):
        content = source.read_bytes()
        if b"numba_cache" in content:  # the others hold no compiled functions
            digest.update(content)
    return digest.hexdigest()
