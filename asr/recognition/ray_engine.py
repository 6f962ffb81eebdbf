"""Transcription on a Ray cluster (https://docs.ray.io): a worker per node, or per GPU of a node, holds the model,
transcribes groups of recordings on its cores and writes the outputs, so that only names and durations travel.

A worker that dies is replaced, and what it had not written is done again, recording by recording: one that takes its
worker down with it `ATTEMPTS` times is a failure. New nodes are used as they join.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.errors import AsrError, ConfigError
from asr.model.model_file import load_model
from asr.output.formats import STDIN, Outputs
from asr.recognition.batch import Failure, confident, transcribe_files
from asr.recognition.config import TranscribeConfig
from asr.recognition.recognizer import Recognizer
from asr.transcript import Transcript
from asr.utils import storage
from asr.utils.files import make_folder
from asr.utils.messages import tell
from asr.utils.progress import progress_bar

GROUP_BYTES = 32 << 20  # of recordings that are given to a worker together: 17 minutes of 16-bit speech
GROUP_FILES = 64
ATTEMPTS = 3
LOOK_SECONDS = 5.0  # between looks for new nodes
PATIENCE = 60.0  # seconds without a worker after which waiting is reported
STARTS = 10  # workers that may fail to start, one after the other


@dataclass(frozen=True)
class Done:
    """A recording whose outputs have been written."""

    name: str
    seconds: float = 0.0  # of audio; 0 if its worker died before it could say
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """Recordings for a worker, and how many workers have died of them."""

    names: tuple[str, ...]
    deaths: int = 0


class Worker:
    """A process on a node that holds the model."""

    def __init__(self, folder: str, model: Path, config: TranscribeConfig, outputs: Outputs, cores: int, number: int):
        if os.path.isdir(folder):
            os.chdir(folder)  # which relative paths start from
        usable = sorted(os.sched_getaffinity(0))
        # By number, as several nodes may be on one machine.
        os.sched_setaffinity(0, {usable[(number * cores + core) % len(usable)] for core in range(cores)})
        run = config.run
        self._recognizer = Recognizer.load(
            model, run.device, config.search, run.precision, run.voice_activity, config.writing
        )
        self._outputs, self._config = outputs, config

    def ready(self) -> None:
        """Return once the model is loaded."""

    def run(self, names: Sequence[str]) -> list[Done | Failure]:
        """Transcribe recordings and write their outputs."""
        results = transcribe_files(self._recognizer, names, self._config.run.batch_seconds)
        found: list[Done | Failure] = []
        for name, result in confident(results, self._config):
            if isinstance(result, Transcript):
                self._outputs.write(name, result)
                found.append(Done(name, result.duration, tuple(result.notes)))
            else:
                found.append(result)
        return found


def transcribe_on_ray(
    names: Sequence[str], outputs: Outputs, model: Path, config: TranscribeConfig
) -> Iterator[Done | Failure]:
    """Transcribe recordings on the cluster into `outputs`; what has become of each, as soon as known.

    Raises `ConfigError` for what cannot be done on a cluster, `AsrError` when there is none or its workers cannot
    start, and what a worker raises, such as `OSError` for a full disk.
    """
    import ray

    if outputs.folder is None:
        raise ConfigError("--engine ray: its workers write the outputs, so add -o DIR, which all nodes can reach")
    if STDIN in names:
        raise ConfigError("--engine ray: standard input is not on the cluster; name files")
    load_model(model)  # a model that cannot be used is an error here rather than on each node
    try:
        ray.init(address=config.ray_address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise AsrError(f"no Ray cluster at '{config.ray_address}': {error}; `ray start --head` starts one") from error
    try:
        make_folder(outputs.folder)
        with progress_bar("transcribing", len(names)) as advance:
            for result in _Cluster(model, config, outputs).run(names):
                advance(1)
                yield result
    finally:
        ray.shutdown()


Slot = tuple[str, int]  # of a worker: a node, and which of its GPUs


class _Cluster:
    """The workers and the jobs that they are doing."""

    def __init__(self, model: Path, config: TranscribeConfig, outputs: Outputs):
        import ray

        self._ray = ray
        self._arguments, self._outputs = (os.getcwd(), model, config, ray.put(outputs)), outputs
        self._kind = ray.remote(Worker)
        self._uses_gpus = config.run.device in ("auto", "cuda")
        self._workers: dict[Slot, Any] = {}
        self._calls: dict[Any, tuple[Slot, Job | None]] = {}  # without a job the worker is starting
        self._idle: list[Slot] = []
        self._started = self._failed_starts = 0

    def run(self, names: Sequence[str]) -> Iterator[Done | Failure]:
        """Do all jobs."""
        jobs = deque(group(names))
        looked, worked = -LOOK_SECONDS, time.monotonic()
        while jobs or any(job for _, job in self._calls.values()):
            if time.monotonic() - looked > LOOK_SECONDS:
                self._find_nodes()
                looked = time.monotonic()
            while jobs and self._idle:
                job, slot = jobs.popleft(), self._idle.pop()
                self._calls[self._workers[slot].run.remote(job.names)] = slot, job
            if not self._calls:
                time.sleep(0.1)
            elif ready := self._ray.wait(list(self._calls), timeout=LOOK_SECONDS)[0]:
                worked = time.monotonic()
                yield from self._finish(ready[0], jobs)
            if time.monotonic() - worked > PATIENCE and not any(job for _, job in self._calls.values()):
                tell("waiting for a node of the cluster to start a worker")
                worked = time.monotonic()

    def _finish(self, call: Any, jobs: deque[Job]) -> Iterator[Done | Failure]:
        """What a call that has ended leaves: results, or jobs that are to be done again."""
        slot, job = self._calls.pop(call)
        try:
            results = self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self._ray.exceptions.RayError as error:
            self._workers.pop(slot, None)
            if job is None:
                self._note_failed_start(error)
            else:
                yield from self._repeat(job, jobs, error)
            return
        self._failed_starts = 0
        self._idle.append(slot)
        yield from results or ()

    def _note_failed_start(self, error: Exception) -> None:
        self._failed_starts += 1
        if self._failed_starts > STARTS:
            reason = str(error).strip().splitlines()[-1]
            raise AsrError(f"workers on the Ray cluster cannot start: {reason}") from error

    def _repeat(self, job: Job, jobs: deque[Job], error: Exception) -> Iterator[Done | Failure]:
        """After the death of a worker: what it had written is done, the rest is to be done one by one."""
        self._outputs.read_ledger()
        for name in job.names:
            if self._outputs.are_written(name):
                yield Done(name)
            elif job.deaths + 1 >= ATTEMPTS:
                kind = type(error).__name__
                yield Failure(name, f"{name}: {ATTEMPTS} workers died while transcribing it ({kind}); try it alone")
            else:
                jobs.append(Job((name,), job.deaths + 1))

    def _find_nodes(self) -> None:
        """Start the workers of each node that has none."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        slots: dict[Slot, tuple[int, int]] = {}  # cores and GPUs of each worker
        for node in self._ray.nodes():
            gpus = int(node["Resources"].get("GPU", 0)) if self._uses_gpus else 0
            cores = int(node["Resources"].get("CPU", 0)) // max(1, gpus)
            if node["Alive"] and cores:
                slots |= {(node["NodeID"], index): (cores, min(1, gpus)) for index in range(max(1, gpus))}
        self._idle = [slot for slot in self._idle if slot in slots]
        busy = {slot for slot, _ in self._calls.values()}
        self._workers = {slot: worker for slot, worker in self._workers.items() if slot in slots or slot in busy}
        for slot in set(slots) - set(self._workers):
            cores, gpus = slots[slot]
            place = NodeAffinitySchedulingStrategy(slot[0], soft=False)
            kind = self._kind.options(num_cpus=cores, num_gpus=gpus, scheduling_strategy=place)
            self._workers[slot] = kind.remote(*self._arguments, cores, self._started)
            self._started += 1
            self._calls[self._workers[slot].ready.remote()] = slot, None


def group(names: Sequence[str]) -> Iterator[Job]:
    """Jobs of recordings of similar size, the largest first, so that none is left for last alone."""
    sizes = {name: storage.identity(name)[1] or 0 for name in names}
    part: list[str] = []
    filled = 0
    for name in sorted(names, key=sizes.__getitem__, reverse=True):
        if part and (filled + sizes[name] > GROUP_BYTES or len(part) == GROUP_FILES):
            yield Job(tuple(part))
            part, filled = [], 0
        part.append(name)
        filled += sizes[name]
    if part:
        yield Job(tuple(part))
