"""Live streams: audio as it comes, recognised in threads of their own, so that uploads do not delay them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import soxr

from asr.audio.io import QUALITY
from asr.recognition.config import ListenConfig
from asr.recognition.streaming import LiveRecognizer, Update
from asr.server.errors import BusyError
from asr.server.hotwords import Phrases, Preferences
from asr.server.metrics import Metrics

NOTHING = np.zeros(0, np.float32)


class LiveStreams:
    """The streams of all clients: at most `most`, whose steps share `workers` threads."""

    def __init__(self, preferences: Preferences, metrics: Metrics, most: int, workers: int):
        self.preferences, self.metrics, self._most, self.open = preferences, metrics, most, 0
        self.executor = ThreadPoolExecutor(workers, "asr-live")
        self.preparing = ThreadPoolExecutor(1, "asr-prepare")  # recognisers that prefer phrases, which takes seconds

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place for one client's stream; raises `BusyError` when there is none."""
        if self.open >= self._most:
            raise BusyError(retry_after=10)
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1


class LiveStream:
    """The recognition of one stream of audio at `rate` hertz, in which `phrases` are preferred."""

    def __init__(self, streams: LiveStreams, rate: int, phrases: Phrases = ()):
        self._streams, self._phrases = streams, phrases
        self._live: LiveRecognizer | None = None
        self._rate = rate
        self._recognizer = streams.preferences.recognizer(())
        model_rate = self._recognizer.sample_rate
        self._resampler = None
        if rate != model_rate:
            self._resampler = soxr.ResampleStream(rate, model_rate, 1, dtype="float32", quality=QUALITY)
        self.seconds = 0.0  # of audio received

    async def push(self, samples: np.ndarray) -> AsyncIterator[Update]:
        """Add samples `(samples,)`; yields the update of each step. Between two steps other streams have their turn."""
        live = await self._started()
        for start in range(0, len(samples), self._rate):  # by the second: of a large message little is in memory twice
            second = samples[start : start + self._rate]
            self._streams.metrics.audio(len(second) / self._rate)
            self.seconds += len(second) / self._rate
            steps = live.push(self._resampler.resample_chunk(second) if self._resampler else second)
            while (update := await self._run(next, steps, None)) is not None:
                yield update

    async def finish(self) -> AsyncIterator[Update]:
        """The updates of what is left; all words are committed."""
        live = await self._started()
        if self._resampler:
            for update in await self._run(list, live.push(self._resampler.resample_chunk(NOTHING, last=True))):
                yield update
        yield await self._run(live.finish)

    async def _started(self) -> LiveRecognizer:
        if self._live is None:
            recognizer = self._recognizer
            if self._phrases:
                loop, make = asyncio.get_running_loop(), self._streams.preferences.recognizer
                recognizer = await loop.run_in_executor(self._streams.preparing, make, self._phrases)
            self._live = LiveRecognizer(recognizer, ListenConfig())
        return self._live

    async def _run(self, function, *arguments):
        return await asyncio.get_running_loop().run_in_executor(self._streams.executor, function, *arguments)


class Pcm16:
    """Bytes of 16-bit little-endian samples -> samples `(samples,)`, also where a piece ends inside a sample."""

    def __init__(self) -> None:
        self._rest = b""

    def samples(self, data: bytes) -> np.ndarray:
        """The samples that are complete now, from -1 to 1."""
        data = self._rest + data
        whole = len(data) // 2 * 2
        self._rest = data[whole:]
        return np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768
