"""Any recording -> mono float32 samples at a given sample rate; durations without decoding.

soundfile (libsndfile) decodes wav, flac, ogg (Vorbis and Opus), mp3, aiff and more; `asr.audio.media` adds what video
files and telephones contain. What headers say about lengths is checked by `asr.audio.containers` before that.
"""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import soundfile
import soxr

from asr.audio import media
from asr.audio.containers import find_recordings
from asr.audio.recording_file import File, Recording, RecordingStream
from asr.errors import AudioError
from asr.utils import storage
from asr.utils.object_store import ObjectReader

SUFFIXES = (
    *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".sph", ".nist", ".voc"),
)

# Full scale is 1. Float files scaled to 32768 are sound; anything beyond this only overflows in later sums.
LARGEST = 1e12

# Hertz. No recorder uses others, and from 1 Hz to 16000 Hz a small file would become days of sound.
LOWEST_RATE, HIGHEST_RATE = 2000, 1_000_000

# FLAC packs silence in its longest usual blocks, of 16384 samples, into 14 bytes, Opus in frames of 60 ms at 48000 Hz
# into 2; a file that claims or unpacks to more than either is damaged or malicious.
MOST_SAMPLES_PER_BYTE = 1600

GRACE = 4096  # samples that a header may promise and a file lack: a decoder's delay
OVERSHOOT = 0.1  # seconds by which a part may exceed its recording: times in corpora are rounded, or in frames
QUALITY = "HQ"  # of resampling
PIECE_SECONDS = 10.0
PIECE_VALUES = 1 << 22  # samples of all channels: limits pieces of many channels or a high rate

# Power of the channels' sum over the sum of their powers: 1 for unrelated channels, 2 for two equal ones.
CANCELLED = 0.2


@dataclass(frozen=True)
class AudioInfo:
    """Properties of a sound file."""

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
        return _total([track.info for track in _tracks(stream, name)])


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
        tracks = _tracks(stream, name)
        notes: list[str] = _notes(tracks, sample_rate)
        try:
            parts = [_convert(track, pieces, sample_rate) for track, pieces in _parts(tracks, offset, duration, notes)]
            return Audio(np.concatenate(parts), sample_rate, tuple(notes))
        except MemoryError as error:
            hours = _total([track.info for track in tracks]).duration / 3600
            raise AudioError(f"{name}: {hours:.1f} hours, more than fit into memory; cut it into parts") from error


def _convert(track: "Track", pieces: Iterable[np.ndarray], sample_rate: int) -> np.ndarray:
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
) -> Iterator[AudioPieces]:
    """Read a sound file as `load_audio` does, but in pieces of `PIECE_SECONDS`, so that any length fits into memory.

    Raises `AudioError` as `load_audio` does, some of them only when a piece is read.
    """
    with _opened(source) as (stream, name):
        tracks = _tracks(stream, name)
        notes = _notes(tracks, sample_rate)
        seconds = _total([track.info for track in tracks]).duration - offset
        pieces = (
            piece
            for track, mono in _parts(tracks, offset, duration, notes)
            for piece in _resample_pieces(mono, track.info.sample_rate, sample_rate)
        )
        yield AudioPieces(min(seconds, duration) if duration is not None else seconds, notes, pieces)


def find_audio(folder: str | os.PathLike) -> list[Path]:
    """All recordings below a folder, by suffix, in sorted order: sound files and, for their audio, video files."""
    suffixes = SUFFIXES + media.SUFFIXES
    found = map(Path, storage.list_files(folder))
    return sorted(path for path in found if path.suffix.lower() in suffixes and not path.name.startswith("."))


class Track(Protocol):
    """One recording of a file."""

    info: AudioInfo

    def read(self, start: int) -> Iterator[np.ndarray]:
        """`(samples, channels)` float32 from a sample to the end, in pieces."""


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


def _tracks(stream: io.RawIOBase | BinaryIO, name: str) -> list[Track]:
    """The recordings of a file, one unless several were joined."""
    file = File.of(stream)
    if file.size == 0:
        raise AudioError(f"{name}: the file is empty (0 bytes); record or copy it again")
    try:
        return [_track(file, recording, name) for recording in find_recordings(file, name)]
    except (OSError, AudioError) as error:
        _check_read(file, name)
        if isinstance(error, AudioError):
            raise
        raise AudioError(f"{name}: {error.strerror}") from error


def _check_read(file: File, name: str) -> None:
    """Raise `AudioError` if the file is an object that could not be read: what a decoder reports then is misleading."""
    if file.failure:
        raise AudioError(f"{name}: {file.failure.strerror}") from file.failure


def _track(file: File, recording: Recording, name: str) -> Track:
    head = file.read(recording.start, media.HEAD)
    if media.is_foreign(head):
        return _MediaTrack(file, recording, name)
    try:
        return _SoundfileTrack(file, recording, name)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        if media.identify(head):
            return _MediaTrack(file, recording, name)
        raise AudioError(f"{name}: not a sound file that can be read (wav, flac, ogg, opus, mp3, aiff)") from error


class _SoundfileTrack:
    """A recording that libsndfile decodes."""

    def __init__(self, file: File, recording: Recording, name: str):
        self._file, self._recording = file, recording
        with self._decoder() as sound:
            self.info = AudioInfo(name, sound.samplerate, sound.channels, sound.frames, sound.format, sound.subtype)
        _check_info(self.info, file.size)

    def read(self, start: int) -> Iterator[np.ndarray]:
        """See `Track`."""
        info = self.info
        size = min(round(PIECE_SECONDS * info.sample_rate), PIECE_VALUES // info.channels)
        try:
            with self._decoder() as sound:
                if start:  # some codecs cannot seek
                    # An MP3 frame needs the bits of frames before it.
                    lead = min(start, info.sample_rate // 2 if info.format == "MP3" else 0)
                    sound.seek(start - lead)
                    sound.read(lead, "float32")
                while len(samples := sound.read(size, "float32", always_2d=True)):
                    yield samples
            _check_read(self._file, info.path)
        except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
            _check_read(self._file, info.path)
            raise AudioError(f"{info.path}: damaged or cut short ({error}); copy it again") from error

    def _decoder(self) -> soundfile.SoundFile:
        if self._file.descriptor is None or not self._recording.is_whole(self._file):
            return _SequentialFile(RecordingStream(self._file, self._recording))
        # By descriptor where possible, which is faster.
        os.lseek(self._file.descriptor, 0, os.SEEK_SET)
        return _SequentialFile(self._file.descriptor, closefd=False)


class _SequentialFile(soundfile.SoundFile):
    """A file that does not seek to where it is after each read, which is what soundfile does: MP3 frames that follow a
    seek are decoded without the bits of those before them."""

    def seekable(self) -> bool:
        """Never, to soundfile's `read`; `seek` works all the same."""
        return False


class _MediaTrack:
    """A recording that FFmpeg decodes."""

    def __init__(self, file: File, recording: Recording, name: str):
        head = file.read(recording.start, media.HEAD)
        self._file = file
        self._decoder = media.MediaDecoder(lambda: RecordingStream(file, recording), name, head)
        found = self._decoder
        self.info = AudioInfo(name, found.sample_rate, found.channels, found.frames, found.format, found.encoding)
        _check_info(self.info, file.size)

    def read(self, start: int) -> Iterator[np.ndarray]:
        """See `Track`."""
        try:
            for piece in self._decoder.pieces():
                if len(piece) > start:
                    yield piece[start:]
                start = max(0, start - len(piece))
        except AudioError:
            _check_read(self._file, self.info.path)
            raise


def _check_info(info: AudioInfo, size: int) -> None:
    if info.frames <= 0:
        raise AudioError(f"{info.path}: holds no samples, or is cut short; record or copy it again")
    if not LOWEST_RATE <= info.sample_rate <= HIGHEST_RATE:
        raise AudioError(
            f"{info.path}: states a sample rate of {info.sample_rate} Hz, but only {LOWEST_RATE} to {HIGHEST_RATE} Hz "
            "can be read; copy it again"
        )
    if info.frames > MOST_SAMPLES_PER_BYTE * size:
        raise AudioError(
            f"{info.path}: claims {info.duration:.0f} s, but {size} bytes cannot hold as much; copy it again"
        )


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
            yield track, mix(_checked(track, start, stop), info, notes)
        begin += info.duration


def _checked(track: Track, start: int, stop: int) -> Iterator[np.ndarray]:
    """`(samples, channels)` of a track; raises `AudioError` when they are not all there, or NaN.

    A track to its end is all that its decoder returns, even if that is more than expected.
    """
    name, done, wanted = track.info.path, 0, stop - start
    for samples in track.read(start):
        if stop < track.info.frames:
            samples = samples[: wanted - done]
        # Least and largest are NaN, which no comparison holds for, if any sample is.
        if not -LARGEST < samples.min() <= samples.max() < LARGEST:
            faulty = np.count_nonzero(~(np.abs(samples) < LARGEST))
            raise AudioError(f"{name}: {faulty} samples are NaN, infinite or absurdly large; export it again")
        done += len(samples)
        yield samples
        if stop < track.info.frames and done >= wanted:
            return
    # MP3 headers may count a decoder's delay; truncation loses far more than this.
    if done < wanted - GRACE or done == 0:
        raise AudioError(f"{name}: cut short, {done} of {wanted} samples could be read; copy it again")


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
        if isinstance(track, _MediaTrack):
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
