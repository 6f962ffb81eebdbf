"""Samples in memory, of any shape and type that recording and audio libraries return."""

from typing import Any

import numpy as np

from asr.audio.io import mix
from asr.audio.tracks import AudioInfo
from asr.errors import AudioError

MOST_CHANNELS = 64
LARGEST = 1e15  # of a sample: the squares of larger ones overflow when they are summed
ACCEPTED = "give numbers of shape (samples,), (samples, channels) or (channels, samples)"


def to_mono(source: Any, sample_rate: int) -> tuple[np.ndarray, list[str]]:
    """`(samples,)` float32 of an array, a tensor or a sequence of numbers at `sample_rate`, and notes on conversions.

    Accepted are `(samples,)`, `(samples, channels)` as of sounddevice and soundfile, and `(channels, samples)` as of
    torchaudio: the shorter axis is that of the channels, which are mixed as `load_audio` does. Floats have full scale
    at 1, integers at the largest of their type; Python's own integers count as 16-bit samples.

    Raises `AudioError` for anything else, and when samples are NaN or infinite.
    """
    samples = _scale(_to_array(source))
    if samples.ndim in (1, 2) and samples.size == 0:
        return np.zeros(0, np.float32), []
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2 or samples.shape[1] > MOST_CHANNELS:
        raise AudioError(f"samples of shape {np.shape(source)}: {ACCEPTED}")
    faulty = np.count_nonzero(~(np.abs(samples) < LARGEST))
    if faulty:
        raise AudioError(f"{faulty} of {samples.size} samples are NaN, infinite or absurdly large; replace them")
    channels = samples.shape[1]
    notes = [f"{channels} channels mixed to one"] if channels > 1 else []
    info = AudioInfo("samples", sample_rate, channels, len(samples), "array", str(samples.dtype))
    return next(mix([samples], info, notes)), notes


def _to_array(source: Any) -> np.ndarray:
    if isinstance(source, (bytes, bytearray, memoryview)):
        raise AudioError("bytes are not samples: wrap an encoded file in io.BytesIO, or use numpy.frombuffer for PCM")
    if hasattr(source, "detach"):  # a tensor, which may be on a GPU, need gradients, or be of a type that NumPy lacks
        source = source.detach().cpu()
        source = source.float() if source.is_floating_point() else source
    try:
        return np.asarray(source)
    except ValueError as error:  # lists of different lengths
        raise AudioError(f"not an array of samples ({error}); {ACCEPTED}") from error


def _scale(samples: np.ndarray) -> np.ndarray:
    """As float32 with full scale at 1."""
    kind, size = samples.dtype.kind, 16 if samples.dtype == np.int64 else 8 * samples.dtype.itemsize
    if kind == "f":
        with np.errstate(over="ignore"):  # infinite, which is reported
            return samples.astype(np.float32, copy=False)
    if kind not in "iu":
        raise AudioError(f"not an array of samples but of {samples.dtype}; {ACCEPTED}")
    half = 1 << (size - 1)
    return ((samples.astype(np.float64) - (half if kind == "u" else 0)) / half).astype(np.float32)
