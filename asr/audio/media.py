"""Formats that libsndfile lacks (m4a, mp4, webm, wma, amr, ...): the first audio stream, decoded by FFmpeg via PyAV.

PyAV is in the extra `media`. The format is identified by the file's first bytes, never by name alone, and passed to
FFmpeg: left to guess, it would also accept a disguised playlist and open the files that the playlist names.
"""

import io
import re
from collections.abc import Callable, Iterator

import numpy as np

from asr.errors import AudioError

SUFFIXES = (
    *(".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".webm", ".mkv", ".mka", ".weba", ".wma", ".wmv", ".asf"),
    *(".aac", ".adts", ".amr", ".awb", ".avi", ".flv", ".f4a", ".f4v", ".spx", ".ogv", ".ogx", ".mp2", ".mpg", ".mpeg"),
    *(".m2ts", ".mts", ".ac3", ".eac3", ".dts", ".ape", ".wv", ".tta", ".ra", ".rm", ".mpc", ".qcp", ".dss", ".ds2"),
)

# First bytes: (what it is, FFmpeg's demuxer). The last ones are formats of libsndfile, with a codec that it lacks.
KINDS = (
    (rb".{4}(ftyp|moov|mdat|wide|free|skip|pnot)", "MP4 or QuickTime", "mov"),
    (rb"\x1a\x45\xdf\xa3", "WebM or Matroska", "matroska"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media", "asf"),
    (rb"#!AMR", "AMR", "amr"),
    (rb"RIFF.{4}AVI ", "AVI", "avi"),
    (rb"FLV\x01", "Flash Video", "flv"),
    (rb"\.RMF|\.ra\xfd", "RealMedia", "rm"),
    (rb"MAC ", "Monkey's Audio", "ape"),
    (rb"wvpk", "WavPack", "wv"),
    (rb"TTA1", "True Audio", "tta"),
    (rb"MPCK|MP\+", "Musepack", "mpc8"),
    (rb"\x00\x00\x01\xba", "MPEG program stream", "mpeg"),
    (rb"\x47.{187}\x47.{187}\x47", "MPEG transport stream", "mpegts"),
    (rb".{4}\x47.{191}\x47", "MPEG transport stream", "mpegts"),
    (rb"\x0b\x77", "AC-3", "ac3"),
    (rb"\x7f\xfe\x80\x01", "DTS", "dts"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "AAC", "aac"),
    (rb"ADIF", "AAC in ADIF", ""),
    (rb"[\x01-\x08]dss|\x03ds2", "a dictaphone's DSS", ""),
    (rb"OggS", "Ogg that is damaged or has a rare codec", "ogg"),
    (rb"RIFF.{4}WAVE", "WAV that is damaged or has a rare codec", "wav"),
    (rb"caff", "CAF that is damaged or has a rare codec", "caf"),
    (rb"FORM.{4}AIFC", "AIFF that is damaged or has a rare codec", "aiff"),
)
LIBSNDFILE = ("ogg", "wav", "caf", "aiff")
HEAD = 400  # bytes that identify the format
STATED = ("mov", "matroska", "asf")  # formats whose duration is exact
SHORTFALL = 0.5  # seconds by which a recording may be shorter than its header states


def identify(head: bytes) -> tuple[str, str] | None:
    """The kind of a file and FFmpeg's name for its format, from its first `HEAD` bytes."""
    for pattern, kind, demuxer in KINDS:
        if re.match(pattern, head, re.DOTALL):
            return kind, demuxer
    return None


def is_foreign(head: bytes) -> bool:
    """Whether a file is of a format that libsndfile does not have at all."""
    found = identify(head)
    return found is not None and found[1] not in LIBSNDFILE


class MediaDecoder:
    """The first audio stream of a file: its properties, then its samples.

    Raises `AudioError` when PyAV is not installed, and when the file is damaged, cut short or without audio.
    """

    def __init__(self, open_file: Callable[[], io.IOBase], name: str, head: bytes):
        kind, self._demuxer = identify(head) or ("", "")
        self._open_file, self._name = open_file, name
        self._av = _import_av(name, kind, self._demuxer)
        with self._errors(), self._open() as container:
            if not container.streams.audio:
                raise AudioError(f"{name}: {kind} without an audio stream; give a file that has one")
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise AudioError(f"{name}: {kind} with an unknown codec, or damaged; copy it again")
            self.sample_rate: int = stream.codec_context.sample_rate
            self.channels: int = stream.codec_context.channels
            self.format, self.encoding = container.format.name, stream.codec_context.name
            self.frames = round(_seconds(container, stream, name) * self.sample_rate)

    def pieces(self) -> Iterator[np.ndarray]:
        """`(samples, channels)` float32 each."""
        with self._errors(), self._open() as container:
            stream = container.streams.audio[0]
            for other in container.streams:
                if other.type != "audio":
                    other.discard = self._av.stream.Discard.all
            # Codecs such as HE-AAC may change the layout during the stream.
            convert = self._av.AudioResampler("fltp", stream.codec_context.layout, self.sample_rate)
            for frame in container.decode(stream):
                for piece in convert.resample(frame):
                    yield piece.to_ndarray().T

    def _open(self):
        return self._av.open(self._open_file(), format=self._demuxer, metadata_errors="replace")

    def _errors(self) -> "_FfmpegErrors":
        return _FfmpegErrors(self._av, self._name)


class _FfmpegErrors:
    """FFmpeg's errors as `AudioError`."""

    def __init__(self, av, name: str):
        self._av, self._name = av, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, (self._av.error.FFmpegError, ValueError)):
            reason = getattr(error, "strerror", None) or error
            raise AudioError(f"{self._name}: damaged or cut short ({reason}); copy it again") from error


def _import_av(name: str, kind: str, demuxer: str):
    convert = f"convert it: ffmpeg -i {name} out.wav"
    if not demuxer:
        raise AudioError(f"{name}: {kind} cannot be read; {convert}")
    try:
        import av
    except ImportError as error:
        raise AudioError(f"{name}: {kind} needs PyAV: pip install 'small-asr[media]', or {convert}") from error
    av.logging.set_level(av.logging.PANIC)
    return av


def _seconds(container, stream, name: str) -> float:
    """The sum of all packets' durations: headers may lack theirs, estimate it, or state one from before a cut."""
    ticks, latest = 0, 0.0  # of the stream; seconds of any stream
    for packet in container.demux():
        if packet.stream_index == stream.index:
            ticks += packet.duration or 0
        if packet.pts is not None:
            latest = max(latest, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    stated = container.duration / 1e6 if container.duration and container.format.name in STATED else 0.0
    if latest < stated - SHORTFALL:
        raise AudioError(f"{name}: cut short, {latest:.1f} of {stated:.1f} s are there; copy it again")
    return float(ticks * stream.time_base)
