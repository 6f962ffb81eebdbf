"""Cost of a program in its own process: wall-clock time, processor time, memory."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent

# The process prints its own peak: what the system reports for a child includes its parent's memory at the fork.
PRINT_PEAK = """
import sys
sys.stdout.flush()
sys.stderr.write(open("/proc/self/status").read())
"""
COMMAND = "import sys; from asr.cli.main import main; status = main(sys.argv[1:])\nif status: sys.exit(status)"


@dataclass(frozen=True)
class Cost:
    """Cost of a process from start to end."""

    seconds: float  # wall-clock time
    processor: float  # processor seconds of all its threads
    peak_bytes: int  # memory


def measure(code: str, arguments: Sequence[str] = (), threads: int = 1, times: int = 1) -> Cost:
    """The median cost of a Python program in `times` runs, each on as many cores as `threads`.

    Raises `CalledProcessError` when it fails.
    """
    costs = [_measure(code, arguments, threads) for _ in range(times)]
    return Cost(
        median(cost.seconds for cost in costs),
        median(cost.processor for cost in costs),
        max(cost.peak_bytes for cost in costs),
    )


def peak_bytes() -> int:
    """This process's largest resident memory. Not `getrusage`: that includes the parent's before the program began."""
    with open("/proc/self/status") as stream:
        return next(1024 * int(line.split()[1]) for line in stream if line.startswith("VmHWM"))


def _measure(code: str, arguments: Sequence[str], threads: int) -> Cost:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    pin = f"import os; os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[:threads]})"
    program = [sys.executable, "-c", f"{pin}\n{code}\n{PRINT_PEAK}", *map(str, arguments)]
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(program, env=environment, check=True, capture_output=True, text=True)
    seconds, after = time.perf_counter() - started, os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(seconds, processor, 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", done.stderr)[-1]))
