"""The recordings of a sound file, one unless several were joined, each decoded piece by piece.

soundfile (libsndfile) decodes wav, flac, ogg (Vorbis and Opus), mp3, aiff and more; `asr.audio.media` adds what video
files and telephones contain. What headers say about lengths is checked by `asr.audio.containers` before that.
"""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
import soundfile

from asr.audio import media
from asr.audio.containers import find_recordings
from asr.audio.recording_file import File, Recording, RecordingStream
from asr.errors import AudioError

# Full scale is 1. Float files scaled to 32768 are sound; anything beyond this only overflows in later sums.
LARGEST = 1e12

# Hertz. No recorder uses others, and from 1 Hz to 16000 Hz a small file would become days of sound.
LOWEST_RATE, HIGHEST_RATE = 2000, 1_000_000

# FLAC packs silence in its longest usual blocks, of 16384 samples, into 14 bytes, Opus in frames of 60 ms at 48000 Hz
# into 2; a file that claims or unpacks to more than either is damaged or malicious.
MOST_SAMPLES_PER_BYTE = 1600

GRACE = 4096  # samples that a header may promise and a file lack: a decoder's delay
PIECE_SECONDS = 10.0
PIECE_VALUES = 1 << 22  # samples of all channels: limits pieces of many channels or a high rate


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


class Track(Protocol):
    """One recording of a file."""

    info: AudioInfo

    def read(self, start: int) -> Iterator[np.ndarray]:
        """`(samples, channels)` float32 from a sample to the end, in pieces."""


def open_tracks(stream: io.RawIOBase | BinaryIO, name: str) -> list[Track]:
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
        return MediaTrack(file, recording, name)
    try:
        return _SoundfileTrack(file, recording, name)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        if media.identify(head):
            return MediaTrack(file, recording, name)
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


class MediaTrack:
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


def read_part(track: Track, start: int, stop: int) -> Iterator[np.ndarray]:
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
