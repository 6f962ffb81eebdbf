"""Samples -> log-mel features."""

import torch
from torch import Tensor, nn
from torchaudio.transforms import MelScale, Spectrogram

from asr.audio.config import FeatureConfig
from asr.audio.normalization import normalize_bands

# Energies below this, of samples in -1..1, are silence (about -100 dB): the logarithm must stay finite.
LOG_FLOOR = 1e-10


class LogMel(nn.Module):
    """Natural-log mel energies, normalised band by band: `(samples,)` -> `(frames, mels)`, float32.

    There are `1 + samples // hop` frames, frame t centred on sample `t * hop`; silence surrounds the recording, so
    that any length, even none, has features. Mel scale of O'Shaughnessy (HTK's formula), triangular bands of
    peak 1, power spectrum, Hann window.
    """

    def __init__(self, config: FeatureConfig):
        super().__init__()
        self.config = config
        self.hop = round(config.hop_seconds * config.sample_rate)
        window = round(config.window_seconds * config.sample_rate)
        size = 2 ** (window - 1).bit_length()
        self._spectrum = Spectrogram(size, window, self.hop, center=True, pad_mode="constant", power=None)
        self._mel = MelScale(config.mels, config.sample_rate, config.lowest_hertz, n_stft=size // 2 + 1)

    def forward(self, samples: Tensor) -> Tensor:
        log_energies = self.log_energies(samples).numpy()
        return torch.from_numpy(normalize_bands(log_energies, self.config.normalization, self.config.hop_seconds))

    def log_energies(self, samples: Tensor) -> Tensor:
        """Log-mel before normalisation: `(samples,)` -> `(frames, mels)`."""
        if len(samples) == 0:
            # The Fourier transform refuses an empty signal; one sample of silence makes the one frame promised.
            samples = samples.new_zeros(1)
        spectrum = self._spectrum(samples)
        # Not by way of the magnitude, whose square root takes as long as all the rest.
        power = spectrum.real.square() + spectrum.imag.square()
        return self._mel(power).clamp_min(LOG_FLOOR).log().T.contiguous()
