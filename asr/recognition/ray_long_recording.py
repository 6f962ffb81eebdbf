"""A long recording on a Ray cluster: a process reads it and cuts it into stretches, and workers recognise these."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from asr.recognition.pipeline import Ending
from asr.recognition.ray_workers import Segments
from asr.utils.ray_cluster import ATTEMPTS, Job, why_lost

READING = -1  # in place of a stretch's number


class LongRecording:
    """A recording, and what is known of it.

    A stretch whose worker died, or its reader before it was read, is had by reading the recording again from its start,
    which costs little and finds the same stretches. `make_reader` starts an
    `asr.recognition.ray_workers.Reader`.
    """

    def __init__(self, name: str, make_reader: Callable[[], Any]):
        import ray

        self.name, self.failure = name, ""
        self._ray, self._make_reader = ray, make_reader
        self._given: set[int] = set()  # stretches that workers have or had
        self._segments: dict[int, Segments] = {}  # of each stretch
        self._ending: Ending | None = None
        self._deaths: Counter[int] = Counter()  # per stretch
        self._count: int | None = None  # of stretches, once known
        self._reader = make_reader()
        self._read_from_start()

    def _read_from_start(self) -> None:
        self._reader.open.remote(self.name)
        self._number = -1
        self._read_on()

    def _read_on(self) -> None:
        self._number += 1
        self.awaited, self._stretch = self._reader.read.options(num_returns=2).remote()

    def next_job(self) -> Job | None:
        """The recognition of the next stretch, if that has been read."""
        if self.awaited is None or not self._ray.wait([self.awaited], timeout=0, fetch_local=False)[0]:
            return None
        number, stretch = self._number, self._stretch
        try:
            ending = self._ray.get(self.awaited)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self._ray.exceptions.RayError as error:
            self._reader, self.awaited = self._make_reader(), None
            self.lose(READING, error)
            return None
        is_new = number not in self._given
        self._given.add(number)
        if ending is None:
            self._read_on()
        elif ending.error:
            self.failure = str(ending.error)
            return None
        else:
            self._ending, self._count, self.awaited = ending, number + 1, None
            if len(self._given) < self._count:
                self._read_from_start()
        return Job("recognize", ((self.name, number),), (stretch,)) if is_new else None

    def lose(self, number: int, error: Exception) -> None:
        """Note that the worker that had a stretch, or the reader, has died."""
        self._deaths[number] += 1
        self._given.discard(number)
        if self._deaths[number] >= ATTEMPTS:
            self.failure = why_lost(self.name, error)
        elif self.awaited is None:
            self._read_from_start()

    def add(self, number: int, segments: Segments) -> Job | None:
        """Note the words of a stretch; after the last one, the joining of all."""
        self._segments[number] = segments
        if len(self._segments) != self._count:
            return None
        joined = [segment for number in range(self._count) for segment in self._segments[number]]
        return Job("join", (self.name,), (joined, self._ending))
