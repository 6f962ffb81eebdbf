"""`asr listen`: sound from the microphone or a pipe, words on the screen as they come, and how late they were."""

import queue
import shutil
from collections.abc import Iterable, Iterator
from typing import BinaryIO, TextIO

import numpy as np
import soxr

from asr.audio.io import QUALITY
from asr.errors import AudioError
from asr.recognition.streaming import Update

BLOCK_SECONDS = 0.1  # the most that waits for a read to return


def microphone(sample_rate: int) -> Iterator[np.ndarray]:
    """Mono float32 pieces `(samples,)` from the default microphone, without end.

    Raises `AudioError` when there is none, or no library to reach it.
    """
    pipe = "`ffmpeg ... -f s16le -ac 1 -ar 16000 - | asr listen -` needs neither"
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise AudioError(f"microphone: {error}; install sounddevice and PortAudio; {pipe}") from error
    blocks: queue.Queue[np.ndarray] = queue.Queue()
    try:
        with sounddevice.InputStream(
            samplerate=sample_rate,
            channels=1,
            dtype="float32",
            blocksize=round(BLOCK_SECONDS * sample_rate),
            callback=lambda samples, *_: blocks.put(samples[:, 0].copy()),
        ):
            while True:
                yield blocks.get()
    except sounddevice.PortAudioError as error:
        raise AudioError(f"microphone: {error}; connect one and allow its use; {pipe}") from error


def raw_samples(stream: BinaryIO, rate: int, sample_rate: int) -> Iterator[np.ndarray]:
    """16-bit little-endian mono samples at `rate` hertz -> float32 pieces `(samples,)` at `sample_rate`, at once."""
    resampler = None
    if rate != sample_rate:
        resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality=QUALITY)
    rest = b""
    while block := stream.read1(2 * round(BLOCK_SECONDS * rate)):
        whole = len(rest + block) // 2 * 2
        data, rest = (rest + block)[:whole], (rest + block)[whole:]
        samples = np.frombuffer(data, "<i2").astype(np.float32) / 32768
        yield resampler.resample_chunk(samples) if resampler else samples
    if resampler:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


class Latency:
    """How long after they were spoken words were final, and how much of the time was computing."""

    def __init__(self):
        self._delays: list[float] = []
        self._heard = 0.0
        self._computing = 0.0

    def add(self, update: Update) -> None:
        """Take in an update."""
        self._delays += [update.heard - word.end + update.computing for word in update.committed]
        self._heard, self._computing = update.heard, self._computing + update.computing

    def to_text(self) -> str:
        """One line for people."""
        if not self._delays:
            return f"heard {self._heard:.1f} s, no words"
        median, most = np.percentile(self._delays, [50, 95])
        return (
            f"heard {self._heard:.1f} s; words were final {median:.2f} s after they were spoken, 95% within "
            f"{most:.2f} s; computing took {self._computing / self._heard:.0%} of the time"
        )


def show(updates: Iterable[Update], screen: TextIO) -> Latency:
    """Write words as they come: on a terminal with the partial ones, which it overwrites; elsewhere only those that
    stay. A pause ends a line."""
    latency, line = Latency(), ""
    for update in updates:
        latency.add(update)
        new = " ".join(word.text for word in update.committed)
        before, line = line, f"{line} {new}".strip()
        if screen.isatty():
            room = shutil.get_terminal_size().columns - 1
            screen.write("\r\033[K" + (line if update.pause else f"{line} {update.partial}".strip()[-room:]))
        else:
            screen.write(line[len(before) :])
        if update.pause and line:
            screen.write("\n")
            line = ""
        screen.flush()
    return latency
