"""Any recording -> mono float32 samples at a given sample rate; durations without decoding."""

import contextlib
import io
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from asr.audio import media
from asr.audio.tracks import AudioInfo, MediaTrack, Track, open_tracks, read_part
from asr.errors import AudioError, AudioTooLongError
from asr.utils import storage
from asr.utils.object_store import ObjectReader

SUFFIXES = (
    *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".sph", ".nist", ".voc"),
)

SURPLUS = 1.0  # seconds by which a recording may be longer than its header says, where its length is limited
OVERSHOOT = 0.1  # seconds by which a part may exceed its recording: times in corpora are rounded, or in frames
QUALITY = "HQ"  # of resampling

# Power of the channels' sum over the sum of their powers: 1 for unrelated channels, 2 for two equal ones.
CANCELLED = 0.2


@dataclass(frozen=True)
class Audio:
    """Mono samples, float32 `(samples,)` in about -1..1, and how they were made."""

    samples: np.ndarray
    sample_rate: int  # hertz
    notes: tuple[str, ...] = ()  # conversions worth knowing: "resampled from 44100 Hz to 16000 Hz"

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.sample_rate


def probe(source: str | os.PathLike | BinaryIO) -> AudioInfo:
    """Properties of a sound file, as a rule without decoding its samples. Joined recordings count as one.

    Raises `AudioError` when it is missing, not a sound file, empty, or shorter than its header says.
    """
    with _opened(source) as (stream, name):
        return _total([track.info for track in open_tracks(stream, name)])


def load_audio(
    source: str | os.PathLike | BinaryIO | io.RawIOBase,
    sample_rate: int = 16000,
    offset: float = 0.0,
    duration: float | None = None,
) -> Audio:
    """Read a sound file (or an open binary stream) as mono float32 at `sample_rate` hertz.

    `offset` and `duration`, in seconds, select a part. Channels are averaged, or one is taken where they cancel each
    other; a constant (DC) offset is removed; `notes` reports conversions. Raises `AudioError` naming the file when it
    is missing, unreadable, cut short, empty, or contains NaN.
    """
    with _opened(source) as (stream, name):
        tracks = open_tracks(stream, name)
        notes: list[str] = _notes(tracks, sample_rate)
        try:
            parts = [_convert(track, pieces, sample_rate) for track, pieces in _parts(tracks, offset, duration, notes)]
            return Audio(np.concatenate(parts), sample_rate, tuple(notes))
        except MemoryError as error:
            hours = _total([track.info for track in tracks]).duration / 3600
            raise AudioError(f"{name}: {hours:.1f} hours, more than fit into memory; cut it into parts") from error


def _convert(track: Track, pieces: Iterable[np.ndarray], sample_rate: int) -> np.ndarray:
    mono = np.concatenate(list(pieces))
    mono -= mono.mean(dtype=np.float64).astype(np.float32)
    if track.info.sample_rate != sample_rate:
        mono = resample(mono, track.info.sample_rate, sample_rate)
    return np.ascontiguousarray(mono)


@dataclass(frozen=True)
class AudioPieces:
    """An audio file being read: what `load_audio` returns, in pieces that fit into memory one by one."""

    duration: float  # seconds, as headers say
    notes: Sequence[str]  # complete once all pieces have been read
    pieces: Iterator[np.ndarray]  # (samples,) float32 each; a constant offset is still there


@contextlib.contextmanager
def read_audio(
    source: str | os.PathLike | BinaryIO | io.RawIOBase,
    sample_rate: int = 16000,
    offset: float = 0.0,
    duration: float | None = None,
    most_seconds: float = math.inf,
) -> Iterator[AudioPieces]:
    """Read a sound file as `load_audio` does, but in pieces of `PIECE_SECONDS`, so that any length fits into memory.

    Raises `AudioError` as `load_audio` does, some of them only when a piece is read, and `AudioTooLongError` when there
    are more than `most_seconds`, whether the file's header says so or not.
    """
    with _opened(source) as (stream, name):
        tracks = open_tracks(stream, name)
        notes = _notes(tracks, sample_rate)
        seconds = _total([track.info for track in tracks]).duration - offset
        pieces = (
            piece
            for track, mono in _parts(tracks, offset, duration, notes)
            for piece in _resample_pieces(mono, track.info.sample_rate, sample_rate)
        )
        seconds = min(seconds, duration) if duration is not None else seconds
        if seconds > most_seconds:
            raise AudioTooLongError(f"{name}: {seconds:.0f} s of audio; the limit is {most_seconds:g} s")
        yield AudioPieces(seconds, notes, _limited(pieces, most_seconds, sample_rate, name))


def _limited(pieces: Iterable[np.ndarray], most_seconds: float, sample_rate: int, name: str) -> Iterator[np.ndarray]:
    left = (most_seconds + SURPLUS) * sample_rate
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise AudioTooLongError(f"{name}: more audio than its header says; the limit is {most_seconds:g} s")
        yield piece


def find_audio(folder: str | os.PathLike) -> list[Path]:
    """All recordings below a folder, by suffix, in sorted order: sound files and, for their audio, video files."""
    suffixes = SUFFIXES + media.SUFFIXES
    found = map(Path, storage.list_files(folder))
    return sorted(path for path in found if path.suffix.lower() in suffixes and not path.name.startswith("."))


@contextlib.contextmanager
def _opened(source: str | os.PathLike | BinaryIO | io.RawIOBase) -> Iterator[tuple[io.RawIOBase | BinaryIO, str]]:
    """A file and its name. A stream is copied to disk first, as a pipe can be read only once."""
    if isinstance(source, ObjectReader):
        with source:
            yield source, source.url
        return
    if isinstance(source, (str, os.PathLike)):
        with open_recording(source) as stream:
            yield stream, storage.shown(source)
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy)
        copy.flush()
        yield copy, str(getattr(source, "name", None) or "<stdin>")


def open_recording(path: str | os.PathLike) -> io.RawIOBase:
    """A file as `read_audio` opens it. Raises `AudioError` naming one that cannot be opened."""
    try:
        return storage.open_binary(path)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = "no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", error)
        raise AudioError(f"{storage.shown(path)}: {reason}; give the path of a sound file") from error


def _total(infos: list[AudioInfo]) -> AudioInfo:
    """Joined recordings as one, at the first one's rate."""
    first = infos[0]
    frames = sum(round(info.frames * first.sample_rate / info.sample_rate) for info in infos)
    channels = max(info.channels for info in infos)
    return AudioInfo(first.path, first.sample_rate, channels, frames, first.format, first.encoding)


def _parts(
    tracks: list[Track], offset: float, duration: float | None, notes: list[str]
) -> Iterator[tuple[Track, Iterator[np.ndarray]]]:
    """Each track with its pieces `(samples,)` that lie in a part given in seconds; conversions noticed while reading
    are added to `notes`."""
    total = _total([track.info for track in tracks])
    end = total.duration if duration is None else offset + duration
    if offset >= total.duration or (duration and end > total.duration + OVERSHOOT):
        last = offset + (duration or 0)
        raise AudioError(f"{total.path}: has {total.duration:.2f} s, so no part from {offset:.2f} s to {last:.2f} s")
    begin = 0.0
    for track in tracks:
        info = track.info
        start = max(0, round((offset - begin) * info.sample_rate))
        stop = info.frames if duration is None else min(info.frames, round((end - begin) * info.sample_rate))
        if start < stop:
            yield track, mix(read_part(track, start, stop), info, notes)
        begin += info.duration


def mix(pieces: Iterable[np.ndarray], info: AudioInfo, notes: list[str]) -> Iterator[np.ndarray]:
    """`(samples, channels)` -> `(samples,)`: the mean of the channels, or the loudest one from the first piece on in
    which they cancel each other, as when one of them has inverted polarity; `notes` then says so."""
    chosen = None
    for piece in pieces:
        if chosen is None and info.channels > 1:
            powers = np.square(piece, dtype=np.float64).mean(axis=0)
            if np.square(piece.sum(axis=1), dtype=np.float64).mean() < CANCELLED * powers.sum():
                chosen = int(powers.argmax())
                note = f"channel {chosen + 1} of {info.channels} used: the channels cancel each other when mixed"
                notes[:] = [*(each for each in notes if each not in (note, _mixed(info))), note]
        yield piece.mean(axis=1, dtype=np.float32) if chosen is None else np.ascontiguousarray(piece[:, chosen])


def _mixed(info: AudioInfo) -> str:
    return f"{info.channels} channels mixed to one"


def _resample_pieces(pieces: Iterator[np.ndarray], from_hertz: int, to_hertz: int) -> Iterator[np.ndarray]:
    if from_hertz == to_hertz:
        yield from pieces
        return
    resampler = soxr.ResampleStream(from_hertz, to_hertz, 1, dtype="float32", quality=QUALITY)
    for piece in pieces:
        yield resampler.resample_chunk(piece)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _notes(tracks: list[Track], sample_rate: int) -> list[str]:
    notes = [f"{len(tracks)} joined recordings read one after the other"] if len(tracks) > 1 else []
    for track in tracks:
        info = track.info
        if isinstance(track, MediaTrack):
            notes.append(f"decoded by FFmpeg ({info.encoding})")
        if info.channels > 1:
            notes.append(_mixed(info))
        if info.sample_rate != sample_rate:
            notes.append(f"resampled from {info.sample_rate} Hz to {sample_rate} Hz")
    return list(dict.fromkeys(notes))


def resample(samples: np.ndarray, from_hertz: int, to_hertz: int) -> np.ndarray:
    """Band-limited resampling of `(samples,)` float32 by the SoX resampler, at its high quality."""
    return soxr.resample(samples, from_hertz, to_hertz, quality=QUALITY)


def limit_peak(sound: np.ndarray) -> np.ndarray:
    """`(samples,)` scaled down as a whole if its peak exceeds full scale, rather than clipped."""
    return sound / max(1.0, float(np.abs(sound).max(initial=0.0)))


def wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Samples `(samples,)` as the content of a WAV file that every browser plays."""
    stream = io.BytesIO()
    soundfile.write(stream, limit_peak(samples), sample_rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()
