"""Costs of `asr transcribe --engine ray` from which docs/scale.md calculates large clusters.

    python benchmarks/cluster_costs.py --manifest MANIFEST

joins recordings of the manifest to an hour and cuts it, as the engine does with long ones; transcribes an hour for the
memory of a worker on one core and the size of its output; gives out groups with many workers in wait; and prepares a
run over a hundred thousand empty files, for a million of which the figures are stated. Uses one core. Prints Markdown
tables in processor seconds and megabytes.
"""

import logging
import os
import pickle
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from clips import write_long
from commands import COMMAND, measure, peak_bytes
from report import processor, table
from terminal import log, start

from asr.audio.durations import USUAL, estimate_durations
from asr.audio.io import read_audio
from asr.data.manifest import read_manifest
from asr.model.model_file import load_model
from asr.output.formats import Outputs
from asr.pretrained import ENGLISH
from asr.recognition.batch import expand_inputs
from asr.recognition.ray_engine import GROUP_ITEMS, STRETCH_SECONDS, group
from asr.recognition.stretches import read_stretches
from asr.utils import storage

KINDS = (("WAV", 16000), ("FLAC", 16000), ("MP3", 44100))
HOUR = 3600.0
MILLION, PART = 1_000_000, 100_000
FOLDER = 1000  # files in each folder
CALLS = 100  # groups given out


@dataclass(frozen=True)
class Options:
    """Cutting, directing and listing."""

    #: Manifest whose recordings the long one is joined from.
    manifest: Path
    #: Model file.
    model: Path = ENGLISH
    #: Workers that the directing command waits for.
    workers: tuple[int, ...] = (100, 1000, 10_000)
    #: Measurements of cutting, of which the median counts.
    rounds: int = 3


def cutting(options: Options, folder: Path) -> Iterator[Sequence[str]]:
    """Processor seconds and megabytes of an hour in each kind of file."""
    file = load_model(options.model)
    for kind, rate in KINDS:
        log(f"cutting {kind}")
        path = write_long(folder / f"hour.{kind.lower()}", HOUR, read_manifest(options.manifest), rate)
        seconds, sizes = [], []
        for _ in range(options.rounds):
            started = time.process_time()
            for stretch in read_stretches(
                lambda path=path: read_audio(path, file.features.sample_rate),  # type: ignore[misc]
                file.features.sample_rate,
                file.frame_samples,
                STRETCH_SECONDS,
            ):
                sizes.append(sum(window.samples.nbytes for window in stretch.windows))
            seconds.append(time.process_time() - started)
        yield (
            f"{kind}, {rate / 1000:g} kHz",
            f"{median(seconds):.1f}",
            f"{path.stat().st_size / 1e6:.0f}",
            f"{max(sizes) / 1e6:.0f}",
        )


def directing(workers: Sequence[int]) -> Iterator[Sequence[str]]:
    """Processor milliseconds per group of a command that waits for so many workers."""
    import ray

    @ray.remote(num_cpus=0)
    class Worker:
        def run(self, names: Sequence[str]) -> list[str]:
            return list(names)

        def never(self) -> None:
            time.sleep(1e6)

    quick, slow = Worker.remote(), Worker.remote()
    names = [f"s3://bucket/recordings/recording-{number:06d}.flac" for number in range(GROUP_ITEMS)]
    ray.get(quick.run.remote(names))
    for count in workers:
        log(f"directing {count} workers")
        waiting = [slow.never.remote() for _ in range(count)]
        started = time.process_time()
        for _ in range(CALLS):
            call = quick.run.remote(names)
            while call not in ray.wait([*waiting, call], timeout=5, fetch_local=False)[0]:
                pass
            ray.get(call)
        yield f"{count:,}", f"{1000 * (time.process_time() - started) / CALLS:.1f}"


def listing(folder: Path) -> list[tuple[str, str]]:
    """Costs of a run over a million recordings before the first group is given out."""
    log(f"listing {PART} files")
    for number in range(PART):
        if number % FOLDER == 0:
            (folder / f"{number // FOLDER:04d}").mkdir(parents=True)
        (folder / f"{number // FOLDER:04d}" / f"recording-{number:06d}.flac").open("x").close()
    peak, started = peak_bytes(), time.process_time()
    names, _ = expand_inputs([str(folder)])
    outputs = Outputs(names, ("json",), folder / "outputs", "model", {}, [])
    left = [name for name in names if not outputs.are_written(name)]
    sizes = {name: storage.identity(name)[1] or 0 for name in left}
    groups = list(group(estimate_durations(sizes, lambda samples: [USUAL] * len(samples))))
    seconds, peak = time.process_time() - started, peak_bytes() - peak
    assert sum(map(len, groups)) == PART
    times = MILLION / PART
    return [
        ("processor seconds", f"{times * seconds:.0f}"),
        ("memory, GB", f"{times * peak / 1e9:.2f}"),
        ("sent to each node, GB", f"{times * len(pickle.dumps(outputs)) / 1e9:.2f}"),
    ]


def working(options: Options, folder: Path) -> list[tuple[str, str]]:
    """Memory of a worker on one core, and what it writes."""
    log("transcribing")
    path = write_long(folder / "worker.flac", HOUR, read_manifest(options.manifest), 16000)
    cost = measure(COMMAND, ["transcribe", path, "-m", options.model, "-o", folder, "--format", "json"])  # type: ignore[list-item]
    written = (folder / "worker.json").stat().st_size
    return [
        ("processor seconds", f"{cost.processor:.0f}"),
        ("memory, GB", f"{cost.peak_bytes / 1e9:.2f}"),
        ("JSON, MB", f"{written / 1e6:.1f}"),
    ]


def main(options: Options) -> None:
    """Measure and print."""
    import ray

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(
            f"{processor()}\n\nA million recordings\n\n{table(('directing command', ''), listing(folder / 'many'))}\n"
        )
        print(
            table(("an hour of", "processor s to cut", "file, MB", "a stretch, MB"), list(cutting(options, folder))),
            flush=True,
        )
        print(f"\n{table(('an hour on one core', ''), working(options, folder))}\n", flush=True)
    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    print(table(("workers", "processor ms per group"), list(directing(options.workers))))


if __name__ == "__main__":
    start(main, Options, __doc__)
