"""Compilation of inner loops by Numba, and the cache of the compiled code.

Numba considers a cached function valid while its own file is unchanged, even if a function that it calls in another
file, or a constant from there, has changed. So the cache folder is named by a hash of all sources with compiled
functions and of those that they import from; older ones are removed.
"""

import contextlib
import functools
import gc
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba

from asr.utils.cache_folder import is_writable, user_cache

PACKAGE = Path(__file__).parent.parent
_IMPORT = re.compile(rb"^from (asr[.\w]*) import ", re.MULTILINE)


def compiled(function: Callable | None = None, **options):
    """Compile a function over arrays at its first call, without the GIL, and cache the result if there is a folder."""
    if function is None:
        return functools.partial(compiled, **options)
    folder = cache_folder()
    if folder is None:
        return numba.njit(nogil=True, no_cfunc_wrapper=True, **options)(function)
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
    try:
        return numba.njit(nogil=True, cache=True, no_cfunc_wrapper=True, **options)(function)
    finally:
        numba.config.CACHE_DIR = before


#: For functions that create no arrays: without Numba's reference counts, whose two atomic instructions per array and
#: call took most of the search's time.
uncounted = functools.partial(compiled, _nrt=False)
#: For those of them that only compiled functions call: inlined, since passing dozens of arrays takes longer than most
#: of them, and without the wrapper for calls from Python, which takes half of the time to compile.
kernel = functools.partial(uncounted, forceinline=True, no_cpython_wrapper=True)


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    """Suspend garbage collection while millions of objects are created: by Numba's compiler, or for a lexicon."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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


def is_cached(function: Any) -> bool:
    """Whether the cache has code of a compiled function."""
    folder, code = cache_folder(), function.py_func.__code__
    return folder is not None and any(folder.glob(f"*/{Path(code.co_filename).stem}.{code.co_qualname}-*.nbi"))


def _digest() -> str:
    sources = {path: path.read_bytes() for path in sorted(PACKAGE.rglob("*.py"))}
    compiled = {path for path, content in sources.items() if b"numba_cache" in content}
    names = {name.decode() for path in compiled for name in _IMPORT.findall(sources[path])}
    used = {PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py") for name in names}
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted((compiled | used) & sources.keys()):
        digest.update(sources[path])
    return digest.hexdigest()
