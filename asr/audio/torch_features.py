"""Log-mel features by torchaudio, for training."""

import numpy as np
import torch
from torchaudio.transforms import MelScale, Spectrogram

from asr.audio.config import FeatureConfig
from asr.audio.features import LOG_FLOOR, LogMel


class TorchLogMel(LogMel):
    """The features of `LogMel`, their spectra by torchaudio."""

    def __init__(self, config: FeatureConfig):
        super().__init__(config)
        self._spectrum = Spectrogram(self.size, self.window, self.hop, center=True, pad_mode="constant", power=None)
        self._mel = MelScale(config.mels, config.sample_rate, config.lowest_hertz, n_stft=self.size // 2 + 1)

    def log_energies(self, samples: np.ndarray) -> np.ndarray:
        """Log-mel before normalisation: `(samples,)` float32 -> `(frames, mels)`."""
        # The Fourier transform refuses an empty signal; one sample of silence makes the one frame promised.
        spectrum = self._spectrum(torch.from_numpy(samples if len(samples) else np.zeros(1, np.float32)))
        # Not by way of the magnitude, whose square root takes as long as all the rest.
        power = spectrum.real.square() + spectrum.imag.square()
        return self._mel(power).clamp_min(LOG_FLOOR).log().T.contiguous().numpy()
