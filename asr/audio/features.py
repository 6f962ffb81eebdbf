"""Samples -> log-mel features."""

import numpy as np

from asr.audio.average_speech import AverageSpeech
from asr.audio.config import FeatureConfig
from asr.audio.fading import fade_ends
from asr.audio.normalization import normalize_bands

# Energies below this, of samples in -1..1, are silence (about -100 dB): the logarithm must stay finite.
LOG_FLOOR = 1e-10

# To be raised whenever the same sound gets other features than before: cached ones are then computed again.
VERSION = 3

BLOCK = 256  # frames whose spectra are computed together

# Multiplications of a matrix product that OpenBLAS computes in the calling thread. For larger ones it wakes others,
# which then spin for tens of milliseconds: more processor time than the recognition of a short recording takes.
ONE_THREAD = 1 << 18


class LogMel:
    """Natural-log mel energies, normalised band by band: samples `(samples,)` -> features `(frames, mels)`, float32.

    There are `1 + samples // hop` frames, frame t centred on sample `t * hop`; silence surrounds the recording, so
    that any length, even none, has features. Mel scale of O'Shaughnessy (HTK's formula), triangular bands of
    peak 1, power spectrum, Hann window.
    """

    def __init__(self, config: FeatureConfig):
        self.config = config
        self.hop = config.hop_samples
        self.window = round(config.window_seconds * config.sample_rate)
        self.size = 2 ** (self.window - 1).bit_length()  # of the Fourier transform
        self._taper = np.zeros(self.size, np.float32)
        start = (self.size - self.window) // 2
        self._taper[start : start + self.window] = hann(self.window)
        self._filters = mel_filters(self.size, config)
        self._rows = max(1, ONE_THREAD // self._filters.size)  # frames of one matrix product
        self._average: AverageSpeech | None = None
        if config.average_seconds:
            frames, hertz = config.average_seconds / config.hop_seconds, config.sample_rate / self.size
            self._average = AverageSpeech.of_bands(self._filters, hertz, frames)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        samples = np.asarray(samples, np.float32)
        if self._average:
            samples = fade_ends(samples, self.config.sample_rate)
        energies = self.log_energies(samples)
        return normalize_bands(energies, self.config.normalization, self.config.hop_seconds, self._average)

    def log_energies(self, samples: np.ndarray) -> np.ndarray:
        """Log-mel before normalisation: `(samples,)` float32 -> `(frames, mels)`."""
        padded = np.pad(samples, self.size // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.size)[:: self.hop]
        # Some seconds at a time, so that what lies between stays in the processor's caches.
        blocks = [frames[start : start + BLOCK] for start in range(0, len(frames), BLOCK)]
        return np.concatenate([self._block(block) for block in blocks])

    def _block(self, frames: np.ndarray) -> np.ndarray:
        spectrum = np.fft.rfft(frames * self._taper)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        starts = range(0, len(power), self._rows)
        energies = np.concatenate([power[start : start + self._rows] @ self._filters for start in starts])
        return np.log(np.maximum(energies, LOG_FLOOR))


def hann(length: int) -> np.ndarray:
    """The periodic Hann window `(length,)`, in float32 arithmetic throughout, as PyTorch's is."""
    half = np.float32(0.5)
    return half - half * np.cos(np.arange(length, dtype=np.float32) * np.float32(2 * np.pi / length))


def mel_filters(size: int, config: FeatureConfig) -> np.ndarray:
    """Triangles of peak 1 at equal distances on the mel scale: `(size // 2 + 1, mels)`."""
    hertz = np.linspace(0, config.sample_rate // 2, size // 2 + 1, dtype=np.float32)
    lowest, highest = (2595.0 * np.log10(1.0 + edge / 700.0) for edge in (config.lowest_hertz, config.sample_rate / 2))
    mels = np.linspace(lowest, highest, config.mels + 2, dtype=np.float32)
    edges = np.float32(700.0) * (np.float32(10.0) ** (mels / np.float32(2595.0)) - np.float32(1.0))
    widths = np.diff(edges)
    distances = edges[np.newaxis] - hertz[:, np.newaxis]
    rising, falling = -distances[:, :-2] / widths[:-1], distances[:, 2:] / widths[1:]
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
