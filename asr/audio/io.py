"""Any sound file -> mono float32 samples at the rate that is asked for; durations without decoding.

soundfile (libsndfile) decodes wav, flac, ogg (vorbis and opus), mp3, aiff and more without other programs.
"""

import contextlib
import io
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from asr.errors import AudioError

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".w64", ".caf")

# Sizes that writers to a pipe leave in a WAV header because they cannot go back and fill in the true one.
UNKNOWN_WAV_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)

# Full scale is 1. Float files scaled to 32768 are sound; what lies beyond this only overflows in later sums.
LARGEST = 1e12

# Hertz. No recorder writes others, and from 1 Hz to 16000 Hz a small file would become days of sound.
LOWEST_RATE, HIGHEST_RATE = 2000, 1_000_000

# FLAC packs silence in its longest usual blocks, of 16384 samples, to 14 bytes, Opus in frames of 60 ms at 48000 Hz to
# 2; what claims, or unpacks to, more than either is a damaged header or made to do harm.
MOST_SAMPLES_PER_BYTE = 1600

GRACE = 4096  # samples that a header may promise and a file lack: a decoder's delay
QUALITY = "HQ"  # of resampling
PIECE_SECONDS = 10.0
PIECE_VALUES = 1 << 22  # samples of all channels: what many channels or a high rate leave of `PIECE_SECONDS`
MOST_CHUNKS = 10_000  # of a WAV file: real ones have a few dozen


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file's header says."""

    path: str
    sample_rate: int  # hertz
    channels: int
    frames: int
    format: str
    encoding: str

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate


@dataclass(frozen=True)
class Audio:
    """Mono samples, float32 `(samples,)` in about -1..1, and how they were made."""

    samples: np.ndarray
    sample_rate: int  # hertz
    notes: tuple[str, ...] = ()  # conversions a person should know of: "resampled from 44100 Hz to 16000 Hz"

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.sample_rate


def probe(path: str | os.PathLike) -> AudioInfo:
    """Read a sound file's header, without decoding the samples.

    Raises `AudioError` when it is missing, not a sound file, empty, or shorter than its header says.
    """
    with _open(path) as stream:
        return _probe(stream, str(path))


def load_audio(
    source: str | os.PathLike | BinaryIO,
    sample_rate: int = 16000,
    offset: float = 0.0,
    duration: float | None = None,
) -> Audio:
    """Read a sound file (or an open binary stream) as mono float32 at `sample_rate` hertz.

    `offset` and `duration`, in seconds, choose a part of it. Channels are averaged, a constant (DC) offset is
    taken away, and both conversions and resampling are told in `notes`. Raises `AudioError` naming the file
    when it is missing, unreadable, cut short, empty, or holds samples that are not numbers.
    """
    with _opened(source) as (stream, name):
        info = _probe(stream, name)
        start, count = _part(info, offset, duration)
        try:
            mono = np.concatenate(list(_mono(_decode(stream, name, start, count, info))))
        except MemoryError as error:
            hours = info.duration / 3600
            raise AudioError(f"{name}: {hours:.1f} hours, more than fit into memory; cut it into parts") from error
    mono -= mono.mean(dtype=np.float64).astype(np.float32)
    if info.sample_rate != sample_rate:
        mono = resample(mono, info.sample_rate, sample_rate)
    return Audio(np.ascontiguousarray(mono), sample_rate, _notes(info, sample_rate))


@dataclass(frozen=True)
class AudioPieces:
    """A sound file that is being read: what `load_audio` gives, in pieces, each in memory by itself."""

    duration: float  # seconds, as the header says
    notes: tuple[str, ...]
    pieces: Iterator[np.ndarray]  # (samples,) float32 each; a constant offset is still there


@contextlib.contextmanager
def read_audio(
    source: str | os.PathLike | BinaryIO,
    sample_rate: int = 16000,
    offset: float = 0.0,
    duration: float | None = None,
) -> Iterator[AudioPieces]:
    """Read a sound file as `load_audio` does, but in pieces of `PIECE_SECONDS`, so that its length is of no account.

    Raises `AudioError` as `load_audio` does, some of it only when a piece is asked for.
    """
    with _opened(source) as (stream, name):
        info = _probe(stream, name)
        start, count = _part(info, offset, duration)
        seconds = (min(count, info.frames - start) if count >= 0 else info.frames - start) / info.sample_rate
        pieces = _mono(_decode(stream, name, start, count, info))
        yield AudioPieces(seconds, _notes(info, sample_rate), _resample_pieces(pieces, info.sample_rate, sample_rate))


def find_audio(folder: str | os.PathLike) -> list[Path]:
    """All sound files below a folder, by their suffix, in sorted order."""
    found = (Path(top) / name for top, _, names in os.walk(folder, followlinks=True) for name in names)
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


@contextlib.contextmanager
def _opened(source: str | os.PathLike | BinaryIO) -> Iterator[tuple[BinaryIO, str]]:
    """A stream that can be searched, and its name. A pipe's end must be known, so it is copied to disk first."""
    if not hasattr(source, "read"):
        with _open(source) as stream:
            yield stream, str(source)
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy)
        copy.flush()
        with open(copy.fileno(), "rb", buffering=0, closefd=False) as stream:
            yield stream, str(getattr(source, "name", None) or "<stdin>")


def _part(info: AudioInfo, offset: float, duration: float | None) -> tuple[int, int]:
    """First sample and number of samples (-1: all) of a part given in seconds."""
    start, count = round(offset * info.sample_rate), -1
    if duration is not None:
        count = round(duration * info.sample_rate)
    # A sample of grace: durations in manifests are rounded.
    if start >= info.frames or (count > 0 and start + count > info.frames + info.sample_rate // 100):
        end = offset + (duration or 0)
        raise AudioError(f"{info.path}: has {info.duration:.2f} s, so no part from {offset:.2f} s to {end:.2f} s")
    return start, count


def _open(path: str | os.PathLike) -> BinaryIO:
    try:
        return open(path, "rb", buffering=0)  # libsndfile moves the same descriptor
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = "no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", error)
        raise AudioError(f"{path}: {reason}; give the path of a sound file") from error


def _probe(stream: BinaryIO, name: str) -> AudioInfo:
    size = stream.seek(0, os.SEEK_END)
    if size == 0:
        raise AudioError(f"{name}: the file is empty (0 bytes); record or copy it again")
    _check_whole(stream, size, name)
    try:
        with _decoder(stream) as sound:
            info = AudioInfo(name, sound.samplerate, sound.channels, sound.frames, sound.format, sound.subtype)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise AudioError(f"{name}: not a sound file that can be read (wav, flac, ogg, opus, mp3, aiff)") from error
    if info.frames <= 0:
        raise AudioError(f"{name}: holds no samples; record or copy it again")
    if not LOWEST_RATE <= info.sample_rate <= HIGHEST_RATE:
        raise AudioError(
            f"{name}: says it has {info.sample_rate} samples a second, but from {LOWEST_RATE} to {HIGHEST_RATE} can be "
            "read; copy it again"
        )
    if info.frames > MOST_SAMPLES_PER_BYTE * size:
        raise AudioError(
            f"{name}: says it has {info.duration:.0f} s, but {size} bytes hold no such time; copy it again"
        )
    return info


def _decoder(stream: BinaryIO) -> soundfile.SoundFile:
    # By descriptor: what fails in a Python stream's methods below libsndfile is printed as a traceback, not raised.
    os.lseek(stream.fileno(), 0, os.SEEK_SET)
    return soundfile.SoundFile(stream.fileno(), closefd=False)


def _check_whole(stream: BinaryIO, size: int, name: str) -> None:
    """Raise when a WAV or Ogg file ends before its own header says; libsndfile reads those without a word."""
    stream.seek(0)
    head = stream.read(12)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        for chunk, start, length in _wav_chunks(stream, size):
            if chunk == b"data" and length not in UNKNOWN_WAV_SIZES and start + length > size:
                share = 100 * (size - start) / length
                raise AudioError(f"{name}: cut short, {share:.0f}% of the samples are there; copy it again")
    elif head[:4] == b"OggS":
        end = _ogg_end(stream, size)
        if end > size:
            raise AudioError(f"{name}: cut short, the last Ogg page lacks {end - size} bytes; copy it again")


def _wav_chunks(stream: BinaryIO, size: int):
    """Yield (name, position of the content, length) of each RIFF chunk up to the data chunk."""
    position = 12
    for _ in range(MOST_CHUNKS):
        if position + 8 > size:
            return
        stream.seek(position)
        chunk, length = struct.unpack("<4sI", stream.read(8))
        yield chunk, position + 8, length
        if chunk == b"data":
            return
        position += 8 + length + length % 2


def _ogg_end(stream: BinaryIO, size: int) -> int:
    """Where the last Ogg page should end, in bytes (RFC 3533, section 6)."""
    start = max(0, size - 2 * 65307)  # the longest page is 65307 bytes
    stream.seek(start)
    tail = stream.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return size if page < 0 else size + 1
    segments = tail[page + 26]
    table = tail[page + 27 : page + 27 + segments]
    return start + page + 27 + segments + sum(table)


def _decode(stream: BinaryIO, name: str, start: int, count: int, info: AudioInfo) -> Iterator[np.ndarray]:
    """`(samples, channels)` float32 of a part, in pieces; raises `AudioError` when it is not all there."""
    wanted = info.frames - start if count < 0 else min(count, info.frames - start)
    size, done = min(round(PIECE_SECONDS * info.sample_rate), PIECE_VALUES // info.channels), 0
    try:
        with _decoder(stream) as sound:
            if start:
                sound.seek(start)
            while done < wanted and len(samples := sound.read(min(size, wanted - done), "float32", always_2d=True)):
                # Least and largest are NaN, which no comparison holds for, if any sample is.
                if not -LARGEST < samples.min() <= samples.max() < LARGEST:
                    faulty = np.count_nonzero(~(np.abs(samples) < LARGEST))
                    raise AudioError(
                        f"{name}: {faulty} samples are no sound (NaN, infinite or absurdly large); export it again"
                    )
                done += len(samples)
                yield samples
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise AudioError(f"{name}: damaged or cut short ({error}); copy it again") from error
    # MP3 headers may count a decoder's delay; a real cut loses far more than this.
    if done < wanted - GRACE or done == 0:
        raise AudioError(f"{name}: cut short, {done} of {wanted} samples could be read; copy it again")


def _mono(pieces: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """`(samples, channels)` -> `(samples,)`, the mean of the channels."""
    return (piece.mean(axis=1, dtype=np.float32) for piece in pieces)


def _resample_pieces(pieces: Iterator[np.ndarray], from_hertz: int, to_hertz: int) -> Iterator[np.ndarray]:
    if from_hertz == to_hertz:
        yield from pieces
        return
    resampler = soxr.ResampleStream(from_hertz, to_hertz, 1, dtype="float32", quality=QUALITY)
    for piece in pieces:
        yield resampler.resample_chunk(piece)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _notes(info: AudioInfo, sample_rate: int) -> tuple[str, ...]:
    notes = []
    if info.channels > 1:
        notes.append(f"{info.channels} channels mixed to one")
    if info.sample_rate != sample_rate:
        notes.append(f"resampled from {info.sample_rate} Hz to {sample_rate} Hz")
    return tuple(notes)


def resample(samples: np.ndarray, from_hertz: int, to_hertz: int) -> np.ndarray:
    """Band-limited resampling of `(samples,)` float32 by the SoX resampler, at its high quality."""
    return soxr.resample(samples, from_hertz, to_hertz, quality=QUALITY)


def limit_peak(sound: np.ndarray) -> np.ndarray:
    """`(samples,)` made quieter as a whole where its peak is beyond full scale, rather than clipped."""
    return sound / max(1.0, float(np.abs(sound).max(initial=0.0)))


def wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Samples `(samples,)` as a sound file that every browser plays."""
    stream = io.BytesIO()
    soundfile.write(stream, limit_peak(samples), sample_rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()
