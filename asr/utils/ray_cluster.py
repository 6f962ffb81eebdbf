"""Work on a Ray cluster (https://docs.ray.io): a worker per node, or per GPU of a node, that is called with one job at
a time. Workers that die are replaced, and new nodes are used as they join."""

import contextlib
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar

from asr.errors import AsrError
from asr.utils.cores import core_count
from asr.utils.messages import tell

LOOK_SECONDS = 5.0  # between looks for new nodes
KNOCK_SECONDS = 10.0  # until a host that does not answer counts as unreachable
PATIENCE = 60.0  # seconds without a worker after which waiting is reported
ATTEMPTS = 3  # workers that may die of one item
STARTS = 10  # workers that may fail to start, one after the other


@dataclass(frozen=True)
class EngineConfig:
    """Which processes do the work."""

    #: Where to compute. 'local': in this process. 'ray': on the nodes of a Ray cluster.
    engine: Literal["local", "ray"] = "local"
    #: Ray cluster: 'auto' (the one this machine belongs to, or RAY_ADDRESS), 'local' (one for this run), or HOST:PORT.
    ray_address: str = "auto"


T = TypeVar("T")
R = TypeVar("R")
Slot = tuple[str, int]  # of a worker: a node, and which of its GPUs


@dataclass(frozen=True)
class Job:
    """A call of a worker's method for some items."""

    method: str
    items: tuple[Any, ...]
    arguments: tuple[Any, ...] = ()
    deaths: int = 0  # of workers that had it


def why_lost(name: str, error: Exception) -> str:
    """The failure of an item that `ATTEMPTS` workers have died of."""
    return f"{name}: {ATTEMPTS} workers died of it ({type(error).__name__}); try it alone"


class Work(Protocol):
    """Jobs, and what becomes of them."""

    left: int  # results that are to come

    def next_job(self, workers: int) -> Job | None:
        """A job for a worker that has none; None if there is none now."""

    def awaited(self) -> list[Any]:
        """References to objects each of which, once there, may make a job."""

    def finish(self, job: Job, value: Any) -> None:
        """Take what a worker has returned."""

    def repeat(self, job: Job, error: Exception) -> None:
        """Have done again what a worker that died has not done."""

    def take_results(self) -> list[Any]:
        """The results since the last call."""


class Groups:
    """Work whose jobs are groups of items, each with a result; `run` of a worker returns those of a group."""

    def __init__(self, groups: Iterable[Sequence[Any]]):
        self._jobs = deque(Job("run", tuple(items)) for items in groups)
        self._results: list[Any] = []
        self.left = sum(len(job.items) for job in self._jobs)

    def next_job(self, workers: int) -> Job | None:
        return self._jobs.popleft() if self._jobs else None

    def awaited(self) -> list[Any]:
        return []

    def finish(self, job: Job, value: list[Any]) -> None:
        self._results += value
        self.left -= len(value)

    def repeat(self, job: Job, error: Exception) -> None:
        for item in job.items:
            if job.deaths + 1 >= ATTEMPTS:
                self.finish(job, [self.failure(item, error)])
            else:
                self._jobs.append(replace(job, items=(item,), deaths=job.deaths + 1))

    def take_results(self) -> list[Any]:
        taken, self._results = self._results, []
        return taken

    def failure(self, item: Any, error: Exception) -> Any:
        """The result of an item that workers died of."""
        raise NotImplementedError


def _knock(address: str) -> None:
    """Raises `OSError` if nothing listens at HOST:PORT. Ray would try for two minutes and then end the process."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.rpartition("/")[2].strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to the cluster at an address. Raises `AsrError` when there is none."""
    import ray

    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AsrError(f"no Ray cluster at '{address}': {reason}; `ray start --head` starts one") from error
    try:
        yield
    finally:
        ray.shutdown()


def start_on_node(folder: str, cores: int = 0, number: int = 0) -> None:
    """Start in the folder from which relative paths count, on `cores` of the usable cores or on all of them."""
    if os.path.isdir(folder):
        os.chdir(folder)
    if cores:
        usable = sorted(os.sched_getaffinity(0))
        # By number, as several nodes may be on one machine.
        os.sched_setaffinity(0, {usable[(number * cores + core) % len(usable)] for core in range(cores)})


class Cluster:
    """The workers, which start at once, and the jobs that they are doing.

    A worker is a `kind(*arguments, cores, number)` with a method `ready`, which returns once it can work.
    """

    def __init__(self, kind: type, arguments: tuple[Any, ...], device: str):
        import ray

        self._ray = ray
        self._kind, self._arguments = ray.remote(kind), arguments
        self._uses_gpus = device in ("auto", "cuda")
        self._workers: dict[Slot, Any] = {}
        self._calls: dict[Any, tuple[Slot, Job | None]] = {}  # without a job the worker is starting
        self._idle: list[Slot] = []
        self._started = self._failed_starts = 0
        self._find_nodes()

    def do(self, work: Work) -> Iterator[Any]:
        """Do all the work; its results as soon as known.

        Raises `AsrError` when workers cannot start, and what a worker raises, such as `OSError` for a full disk.
        """
        looked = worked = time.monotonic()
        while work.left:
            if time.monotonic() - looked > LOOK_SECONDS:
                self._find_nodes()
                looked = time.monotonic()
            while self._idle and (job := work.next_job(len(self._workers))):
                slot = self._idle.pop()
                self._calls[getattr(self._workers[slot], job.method).remote(job.items, *job.arguments)] = slot, job
            awaited = [*self._calls, *(work.awaited() if self._idle else [])]
            if not awaited:
                time.sleep(0.1)
            elif ready := self._ray.wait(awaited, timeout=LOOK_SECONDS, fetch_local=False)[0]:
                worked = time.monotonic()
                if ready[0] in self._calls:
                    self._finish(ready[0], work)
            yield from work.take_results()
            if time.monotonic() - worked > PATIENCE and not any(job for _, job in self._calls.values()):
                tell("waiting for a node of the cluster to start a worker")
                worked = time.monotonic()

    def _finish(self, call: Any, work: Work) -> None:
        """A call has ended, or its worker has died."""
        slot, job = self._calls.pop(call)
        try:
            value = self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self._ray.exceptions.RayError as error:
            self._workers.pop(slot, None)
            if job:
                work.repeat(job, error)
            else:
                self._note_failed_start(error)
            return
        self._failed_starts = 0
        self._idle.append(slot)
        if job:
            work.finish(job, value)

    def _note_failed_start(self, error: Exception) -> None:
        self._failed_starts += 1
        if self._failed_starts > STARTS:
            reason = str(error).strip().splitlines()[-1]
            raise AsrError(f"workers on the Ray cluster cannot start: {reason}") from error

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


class _Caller:
    """A worker that calls a function for items, with a thread per core."""

    def __init__(self, folder: str, function: Callable[[Any], Any], cores: int, number: int):
        start_on_node(folder, cores, number)
        self._function = function

    def ready(self) -> None:
        """Return once it can work."""

    def run(self, items: Sequence[tuple[int, Any]]) -> list[tuple[int, Any]]:
        """The numbers of items with what the function returns for them."""
        with ThreadPoolExecutor(core_count()) as pool:
            return list(pool.map(lambda item: (item[0], self._function(item[1])), items))


class _Calls(Groups):
    def __init__(self, groups: Iterable[Sequence[Any]], lost: Callable[[Any, Exception], Any]):
        super().__init__(groups)
        self._lost = lost

    def failure(self, item: tuple[int, Any], error: Exception) -> tuple[int, Any]:
        return item[0], self._lost(item[1], error)


def map_on_ray(
    function: Callable[[T], R],
    items: Sequence[T],
    size: int,
    address: str,
    advance: Callable[[int], object],
    lost: Callable[[T, Exception], R],
) -> list[R]:
    """`function` of each item, in order, from the nodes of a cluster, which get `size` items at a time.

    `advance` is called with the number of items that are done; `lost` returns the result of an item that workers died
    of. Raises `AsrError` when there is no cluster, and what the function raises.
    """
    numbered = list(enumerate(items))
    work = _Calls((numbered[start : start + size] for start in range(0, len(numbered), size)), lost)
    results: dict[int, R] = {}
    with connected(address):
        for number, result in Cluster(_Caller, (os.getcwd(), function), "cpu").do(work):
            results[number] = result
            advance(1)
    return [results[number] for number, _ in numbered]
