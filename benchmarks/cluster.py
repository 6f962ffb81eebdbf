"""`asr transcribe --engine ray` on a cluster of one-core nodes against as many plain processes, on short recordings.

    python benchmarks/cluster.py --manifest MANIFEST [--hours 2] [--cores 0 1]

cuts recordings of 1 to 5 seconds from those of the manifest into a temporary folder, starts a cluster of a node per
core on this machine, and runs both several times in turn: on all recordings, and on a few of them, which is the start.
Everything runs on the given cores: the plain processes on one each, with every n-th recording; the cluster's own
processes and the command that directs it have no core to themselves. Prints a Markdown table of medians.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from clips import CLIP_SECONDS, write_short
from commands import ROOT
from report import processor, table
from terminal import log, start

from asr.data.manifest import read_manifest
from asr.pretrained import ENGLISH

FEW = 2  # recordings per core that show the time of the start
STORE_BYTES = 200_000_000  # of a node, for objects


@dataclass(frozen=True)
class Options:
    """Ray against plain processes."""

    #: Manifest whose recordings the short ones are cut from.
    manifest: Path
    #: Hours of short recordings.
    hours: float = 2.0
    #: Processor cores to use, a worker on each.
    cores: tuple[int, ...] = (0, 1)
    #: Measurements of each.
    rounds: int = 1
    #: Model file.
    model: Path = ENGLISH


def transcribe(
    recordings: Sequence[Path], model: Path, output: Path, core: int | None, *options: str
) -> subprocess.Popen:
    """Start the command, on a core if one is given."""
    command = [sys.executable, "-m", "asr", "transcribe", *map(str, recordings), "-m", str(model), "-o", str(output)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pin = ["taskset", "-c", str(core)] if core is not None else []
    return subprocess.Popen([*pin, *command, *options], env=environment, stdout=subprocess.DEVNULL, text=True)


def seconds_of(processes: Sequence[subprocess.Popen], started: float) -> float:
    """Wait for processes; seconds since `started`. Raises `CalledProcessError` when one fails."""
    for process in processes:
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, process.args)
    return time.perf_counter() - started


def measure_plain(recordings: Sequence[Path], options: Options, output: Path) -> float:
    """Seconds of a process per core with its share of the recordings."""
    started, count = time.perf_counter(), len(options.cores)
    processes = [
        transcribe(recordings[index::count], options.model, output / str(index), core)
        for index, core in enumerate(options.cores)
    ]
    return seconds_of(processes, started)


def measure_ray(recordings: Sequence[Path], options: Options, output: Path, address: str) -> float:
    """Seconds of the command on the cluster."""
    started = time.perf_counter()
    ray = ["--engine", "ray", "--ray_address", address]
    return seconds_of([transcribe(recordings, options.model, output, None, *ray)], started)


def start_cluster(nodes: int):
    """A cluster of nodes of one core on this machine."""
    from ray.cluster_utils import Cluster

    os.environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    node = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **node})
    for _ in range(nodes - 1):
        cluster.add_node(**node)
    return cluster


def main(options: Options) -> None:
    """Measure and print."""
    os.sched_setaffinity(0, options.cores)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = round(options.hours * 3600 / (sum(CLIP_SECONDS) / len(CLIP_SECONDS)))
        utterances = read_manifest(options.manifest)
        log(f"writing {count} recordings")
        paths = write_short(folder, count, utterances, 16000)
        few = paths[: FEW * len(options.cores)]
        started = time.perf_counter()
        cluster = start_cluster(len(options.cores))
        cluster_seconds = time.perf_counter() - started
        found: dict[tuple[str, str], list[float]] = {}
        try:
            for turn in range(options.rounds):
                for recordings, kind in ((few, "start"), (paths, "all")):
                    out = folder / f"{turn}-{kind}"
                    plain = measure_plain(recordings, options, out / "plain")
                    ray = measure_ray(recordings, options, out / "ray", cluster.address)
                    found.setdefault(("plain", kind), []).append(plain)
                    found.setdefault(("ray", kind), []).append(ray)
                    log(f"{kind}: plain processes {plain:.1f} s, Ray {ray:.1f} s")
        finally:
            cluster.shutdown()
    print(f"{count} recordings, {options.hours:g} h, {len(options.cores)} cores, {processor()}\n")
    seconds = {key: median(values) for key, values in found.items()}
    rows = []
    for name, engine in (("plain processes", "plain"), ("Ray", "ray")):
        first, whole = seconds[engine, "start"], seconds[engine, "all"]
        speed = options.hours * 3600 / whole
        rows.append((name, f"{first:.1f}", f"{whole:.1f}", f"{speed:.0f}"))
    print(table(("engine", f"{len(few)} recordings, s", "all, s", "times real time"), rows))
    share = seconds["plain", "all"] / seconds["ray", "all"]
    plain, ray = (seconds[engine, "all"] - seconds[engine, "start"] for engine in ("plain", "ray"))
    after_start = plain / ray
    print(f"\nSpeed on Ray: {share:.0%} of the plain processes', {after_start:.0%} after the start.")
    print(f"Starting the cluster took {cluster_seconds:.1f} s.")


if __name__ == "__main__":
    start(main, Options, __doc__)
