"""The number of usable processor cores."""

import os


def core_count() -> int:
    """Processor cores available to this process, which may be fewer than the machine has (containers, `taskset`)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
