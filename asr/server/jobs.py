"""Recognition jobs: a limited number run, a limited number wait or are on their way, and the rest are refused at
once."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from asr.server.errors import BusyError

T = TypeVar("T")


class JobPool:
    """Runs functions in `workers` threads. The network and the search leave Python's lock, so threads are parallel."""

    def __init__(self, workers: int, waiting: int):
        self.workers, self._most = workers, workers + waiting
        self._executor = ThreadPoolExecutor(workers, "asr-job")
        self._jobs: set[asyncio.Future] = set()
        self._coming = 0

    @contextlib.contextmanager
    def coming(self) -> Iterator[None]:
        """A place for a job whose input is being received, so that uploads are limited too, and refused before they
        are sent; raises `BusyError` when there is none."""
        self._check_place()
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    @property
    def running(self) -> int:
        """Jobs that run now."""
        return min(len(self._jobs), self.workers)

    @property
    def waiting(self) -> int:
        """Jobs that wait for a worker."""
        return len(self._jobs) - self.running

    def submit(self, function: Callable[..., T], *arguments) -> "asyncio.Future[T]":
        """Start a job or queue it; raises `BusyError` when the queue is full.

        The job counts until it ends, also when nobody waits for its result any more.
        """
        self._check_place()
        job = asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        result = asyncio.shield(job)  # a client that leaves does not cancel what its worker is doing,
        for each in (job, result):  # and its job may fail without a message that nobody asked for the result
            each.add_done_callback(lambda done: done.cancelled() or done.exception())
        return result

    def _check_place(self) -> None:
        if len(self._jobs) + self._coming >= self._most:
            raise BusyError(retry_after=1 + self.waiting // self.workers)

    async def drain(self, seconds: float) -> bool:
        """Wait until all jobs have ended, at most so long; whether they have."""
        if self._jobs:
            await asyncio.wait(set(self._jobs), timeout=seconds)
        self._executor.shutdown(wait=False, cancel_futures=True)
        return not self._jobs
