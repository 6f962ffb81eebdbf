"""Sound -> log-probabilities: a model file's features and network on a device.

On a CPU each call computes in the calling thread alone; the pipeline runs several calls at once.
"""

from collections.abc import Sequence

import numpy as np
import torch

from asr.audio.features import LogMel
from asr.decoding.decoder import Decoding
from asr.model.acoustic_model import load_network
from asr.model.model_file import ModelFile
from asr.model.padding import pad
from asr.transcript import Alternative, Transcript, Word
from asr.utils.device import choose_device, choose_precision, core_count, one_thread


class Scorer:
    """A model that scores recordings: what every recogniser, of files or streams, computes before decoding."""

    def __init__(self, file: ModelFile, device: str = "auto", precision: str = "float32"):
        self.file = file
        self.device = choose_device(device)
        self._dtype, _ = choose_precision(precision, self.device)
        self._model = load_network(file).to(self.device)
        self._log_mel = LogMel(file.features)

    @property
    def sample_rate(self) -> int:
        """Hertz of the samples that the model takes."""
        return self.file.features.sample_rate

    @property
    def frame_samples(self) -> int:
        """Samples from one output frame to the next."""
        return self._log_mel.hop * self.file.architecture.subsampling

    @property
    def parallel_calls(self) -> int:
        """Calls of `log_probabilities` that are worth running at once: one per core, or one on a GPU."""
        return core_count() if self.device.type == "cpu" else 1

    def log_mel(self, samples: np.ndarray) -> torch.Tensor:
        """The model's features: `(samples,)` -> `(frames, mels)`."""
        with one_thread():
            return self._log_mel(torch.as_tensor(samples, dtype=torch.float32))

    def emissions(self, recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Log-probabilities of several recordings at once: `(samples,)` each -> `(output frames, tokens + phones)`."""
        return self.log_probabilities([self.log_mel(samples).numpy() for samples in recordings])

    @torch.inference_mode()
    def log_probabilities(self, features: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The network's output for several recordings at once: `(frames, mels)` each -> as `emissions`."""
        padded, lengths = pad(features, self.file.features.hop_seconds)
        with one_thread(), torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            log_probabilities, lengths = self._model(padded.to(self.device), lengths.to(self.device))
        rows = zip(log_probabilities.cpu().numpy(), lengths.tolist(), strict=True)
        return [row[:length] for row, length in rows]

    def to_transcript(self, found: Decoding, samples: int) -> Transcript:
        """The transcript of a recording of so many samples: frames become seconds."""
        duration = samples / self.sample_rate

        def seconds(frame: int) -> float:
            return round(min(frame * self.file.frame_seconds, duration), 3)

        words = tuple(Word(word.text, seconds(word.start), seconds(word.end), word.confidence) for word in found.words)
        others = tuple(Alternative(each.text, each.score, each.acoustic, each.lm) for each in found.hypotheses)
        return Transcript(found.text, words, duration, alternatives=others)
