"""Compile the search at its first use on a machine, by two processes, into the cache of `asr.utils.numba_cache`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from asr.decoding.alignment import align
from asr.decoding.beam import BeamDecoder
from asr.decoding.search import advance
from asr.utils.messages import tell
from asr.utils.numba_cache import cache_folder, gc_paused, is_cached

_EMISSION = np.log(np.full((1, 2), 0.5, np.float32))


@contextmanager
def compiling_search() -> Iterator[None]:
    """Inside, the search's main loop is compiled by another process; at the end the search is ready for use."""
    if is_cached(advance):
        with gc_paused():
            yield
        return
    tell("the first run on this machine compiles the decoder, which takes about 10 s")
    helper = _start_helper()
    with gc_paused():
        try:
            yield
            _compile_rest()
        except BaseException:
            if helper:
                helper.kill()
            raise
        finally:
            if helper:
                helper.wait()
        _compile_advance()  # loads the helper's result from the cache; compiles if the helper failed


def _start_helper() -> subprocess.Popen | None:
    if cache_folder() is None:
        return None
    command = [sys.executable, "-c", f"from {__name__} import _compile_advance as run; run()"]
    try:
        # A module in the current folder must not hide one of Python's.
        return subprocess.Popen(
            command,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None


def _compile_advance() -> None:
    with gc_paused():
        BeamDecoder(["", "a"]).stream().push(_EMISSION)


def _compile_rest() -> None:
    stream = BeamDecoder(["", "a"]).stream()
    stream.finish()
    stream._make_room()
    align(_EMISSION, np.array([1]))
