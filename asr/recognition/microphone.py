"""`asr listen`: audio from the microphone or a pipe, words on the screen as they come, and their latency."""

import io
import queue
import shutil
from collections.abc import Generator, Iterable, Iterator
from typing import TextIO

import numpy as np
import soxr
from rich.cells import cell_len

from asr.audio.io import QUALITY
from asr.errors import AudioError
from asr.recognition.streaming import Update
from asr.utils.extras import how_to_install

BLOCK_SECONDS = 0.1  # of audio per read, at most


def microphone(sample_rate: int) -> Generator[np.ndarray, None, None]:
    """Endless mono float32 pieces `(samples,)` from the default microphone.

    Raises `AudioError` when there is no microphone, or no library for it.
    """
    pipe = "or pipe samples: `ffmpeg ... -f s16le -ac 1 -ar 16000 - | asr listen -`"
    try:
        import sounddevice
    except ImportError as error:
        raise AudioError(f"microphone: {how_to_install(error)}; {pipe}") from error
    except OSError as error:
        raise AudioError(f"microphone: {error}; install PortAudio (libportaudio2); {pipe}") from error
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


def raw_samples(stream: io.BufferedReader, rate: int, sample_rate: int) -> Iterator[np.ndarray]:
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
    """Seconds from the end of a word until it is final, and the share of time spent computing."""

    def __init__(self):
        self._delays: list[float] = []
        self._received = 0.0
        self._computing = 0.0

    def add(self, update: Update) -> None:
        """Add an update."""
        self._delays += [update.received - word.end + update.computing for word in update.committed]
        self._received, self._computing = update.received, self._computing + update.computing

    def to_text(self) -> str:
        """One line of summary."""
        if not self._delays:
            return f"{self._received:.1f} s of audio, no words"
        median, most = np.percentile(self._delays, [50, 95])
        return (
            f"{self._received:.1f} s of audio; words final after {median:.2f} s (median), {most:.2f} s (95%); "
            f"computing took {self._computing / self._received:.0%} of the time"
        )


def show(updates: Iterable[Update], screen: TextIO, separator: str) -> Latency:
    """Print words, with the recogniser's `separator` between them, as they come: on a terminal also partial ones, which
    are overwritten; elsewhere only final ones. A pause ends a line."""
    latency, line = Latency(), ""
    for update in updates:
        latency.add(update)
        before, line = line, separator.join(filter(None, [line, *(word.text for word in update.committed)]))
        if screen.isatty():
            known = separator.join(filter(None, [line, update.partial]))
            screen.write("\r\033[K" + (line if update.pause else _end(known, shutil.get_terminal_size().columns - 1)))
        else:
            screen.write(line[len(before) :])
        if update.pause and line:
            screen.write("\n")
            line = ""
        screen.flush()
    return latency


def _end(text: str, columns: int) -> str:
    """As much of the end of a text as fits: a line that the terminal wraps cannot be overwritten."""
    while cell_len(text) > columns:
        text = text[1:]
    return text
