"""Processor time that a computation takes in threads other than the calling one."""

import time
from collections.abc import Callable


def seconds_in_other_threads(compute: Callable[[], object]) -> float:
    """Of five computations after a first one, with pauses in which a linear algebra library's threads would spin on."""
    compute()
    time.sleep(0.1)
    others = time.thread_time() - time.process_time()
    for _ in range(5):
        compute()
        time.sleep(0.05)
    return others + time.process_time() - time.thread_time()
