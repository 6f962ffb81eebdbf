"""Worker processes that prepare training data."""

import multiprocessing
import signal
from multiprocessing.context import BaseContext

PRELOADED = ["asr.data.batching"]  # imported once, before the workers are forked


def clean_processes() -> BaseContext:
    """How workers start: from a process that has computed nothing, never as a copy of this one.

    A copy of a process whose Fourier transforms ran in several threads never returns from its first (MKL's allocator).
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def ignore_interrupts(worker: int = 0) -> None:
    """To be called first in a worker: Ctrl-C reaches every process of the terminal, but only the main one handles it,
    by a checkpoint."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
