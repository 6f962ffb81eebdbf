"""What all protocols share: the recogniser, its jobs, and what is counted."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from asr.errors import AudioError, AudioTooLongError
from asr.recognition.recognizer import Recognizer
from asr.server.config import ServeConfig
from asr.server.errors import ApiError
from asr.server.hotwords import Phrases, Preferences
from asr.server.jobs import JobPool
from asr.server.live import LiveStreams
from asr.server.metrics import Metrics
from asr.transcript import Transcript
from asr.utils.cores import core_count

T = TypeVar("T")


class Service:
    """A recogniser that many clients share."""

    def __init__(self, recognizer: Recognizer, name: str, config: ServeConfig):
        self.recognizer, self.name, self.config = recognizer, name, config
        workers = config.limit.workers or core_count()
        self.jobs = JobPool(workers, config.limit.waiting)
        self.preferences = Preferences(recognizer)
        self.metrics = Metrics()
        self.streams = LiveStreams(self.preferences, self.metrics, config.limit.streams, workers)
        self.metrics.watch(self.jobs, self.streams)
        self.created = int(time.time())
        self.stopping = False

    def place(self) -> AbstractContextManager[None]:
        """A place for a live stream; raises `ApiError` when all are taken or the server is shutting down."""
        self._check_running()
        return self.streams.place()

    def coming(self) -> AbstractContextManager[None]:
        """A place for a job whose input is being received; raises `ApiError` as `place` does."""
        self._check_running()
        return self.jobs.coming()

    async def transcribe(self, path: Path, phrases: Phrases = ()) -> Transcript:
        """The transcript of a sound file, in which `phrases` are preferred; raises `ApiError` when it cannot be
        recognised."""
        return await self.run(lambda: self._transcribe(path, phrases))

    def parts(self, path: Path, phrases: Phrases = ()) -> AsyncIterator[Transcript]:
        """The transcript of a sound file in parts, each as soon as it is known, with times from the file's start.

        The job starts, or is refused, at once; it ends early when nobody waits for its parts any more.
        """
        queue: asyncio.Queue[Transcript | None] = asyncio.Queue()
        loop, abandoned = asyncio.get_running_loop(), threading.Event()

        def work() -> None:
            try:
                for part in self._parts(path, phrases):
                    loop.call_soon_threadsafe(queue.put_nowait, part)
                    if abandoned.is_set():
                        return
            finally:
                loop.call_soon_threadsafe(queue.put_nowait, None)

        job = self._submit(work)

        async def results() -> AsyncIterator[Transcript]:
            try:
                while (part := await queue.get()) is not None:
                    yield part
            finally:
                abandoned.set()
            await self._finished(job)  # raises what the work raised

        return results()

    async def run(self, work: Callable[[], T]) -> T:
        """The result of a job; a recording that cannot be read is the client's fault."""
        return await self._finished(self._submit(work))

    def _check_running(self) -> None:
        if self.stopping:
            raise ApiError(503, "the server is shutting down", code="shutting_down", headers={"Retry-After": "5"})

    def _submit(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        self._check_running()
        started = time.perf_counter()
        job = self.jobs.submit(work)
        job.add_done_callback(lambda _: self.metrics.seconds(time.perf_counter() - started))
        return job

    async def _finished(self, job: "asyncio.Future[T]") -> T:
        try:
            return await job
        except AudioTooLongError as error:
            raise ApiError(413, _without_path(error), param="file") from error
        except AudioError as error:
            raise ApiError(400, _without_path(error), param="file", code="invalid_audio") from error

    def _transcribe(self, path: Path, phrases: Phrases) -> Transcript:
        most = self.config.limit.audio_seconds
        transcript = self.preferences.recognizer(phrases).transcribe(path, most)
        self.metrics.audio(transcript.duration)
        return transcript

    def _parts(self, path: Path, phrases: Phrases) -> Iterator[Transcript]:
        end, most = 0.0, self.config.limit.audio_seconds
        for part in self.preferences.recognizer(phrases).transcribe_parts(path, most):
            self.metrics.audio(part.duration - end)  # which counts from the recording's start
            end = part.duration
            yield part


def _without_path(error: AudioError) -> str:
    """The message without the name of the temporary file, which only this machine knows."""
    return str(error).partition(": ")[2] or str(error)
