"""Sound -> log-probabilities: a model file's features and network."""

from collections.abc import Sequence

import numpy as np

from asr.audio.features import LogMel
from asr.audio.voice_activity import find_sound, find_speech
from asr.decoding.decoder import Decoding
from asr.model.engine import Device, Precision, make_engine
from asr.model.model_file import ModelFile
from asr.text.tokenizer import BLANK
from asr.transcript import Alternative, Transcript, Word

CONTEXT_SECONDS = 1.5  # of sound before and after speech that the network gets as well
IMPOSSIBLE = -100.0  # a log-probability, finite for the decoders' sums


class Scorer:
    """A model that scores recordings: what every recogniser, of files or streams, computes before decoding.

    `device` and `precision` are those of `asr.recognition.config.RunConfig`. Raises `ModelFileError` when the file
    cannot be used, `ConfigError` for a device or precision that is not available.
    """

    def __init__(
        self, file: ModelFile, device: Device = "auto", precision: Precision = "auto", voice_activity: bool = True
    ):
        self.file, self.voice_activity = file, voice_activity
        self._engine = make_engine(file, device, precision)
        self._log_mel = LogMel(file.features)

    @property
    def sample_rate(self) -> int:
        """Hertz of the samples that the model takes."""
        return self.file.features.sample_rate

    @property
    def frame_samples(self) -> int:
        """Samples from one output frame to the next."""
        return self.file.frame_samples

    @property
    def parallel_calls(self) -> int:
        """Calls of `log_probabilities` that are worth making at once: one per core, or one on a GPU."""
        return self._engine.parallel_calls

    @property
    def batches(self) -> bool:
        """Whether several recordings in one call of `log_probabilities` take less time than one by one."""
        return self._engine.batches

    def log_mel(self, samples: np.ndarray) -> np.ndarray:
        """The model's features: `(samples,)` -> `(frames, mels)` float32."""
        return self._log_mel(samples)

    def emissions(self, recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Log-probabilities of several recordings: `(samples,)` each -> `(output frames, tokens + phones)`."""
        return self.log_probabilities([self.log_mel(samples) for samples in recordings])

    def log_probabilities(self, features: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The network's output for several recordings: `(frames, mels)` each -> as `emissions`."""
        return self._engine(features)

    def features_of_sound(self, samples: np.ndarray) -> np.ndarray:
        """What `of_speech` takes of a recording `(samples,)`: as `log_mel`, but without digital silence at the ends if
        `voice_activity` is asked for. Frames count from the first sound, so such silence changes no word."""
        return self.log_mel(samples[find_sound(samples)] if self.voice_activity else samples)

    def of_speech(self, features: Sequence[np.ndarray], recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Log-probabilities of recordings, `(samples,)` each, by their `features_of_sound`. If `voice_activity` is
        asked for, they have nothing but blanks where there is no speech, and the network gets only speech with
        `CONTEXT_SECONDS` around it: long silence, which training data lack, would change the words next to it."""
        if not self.voice_activity:
            return self.log_probabilities(features)
        hops = self.file.architecture.subsampling
        reach = round(CONTEXT_SECONDS / self.file.frame_seconds)
        spans = list(map(find_sound, recordings))
        masks, nearby = [], []
        for frames, samples, span in zip(features, recordings, spans, strict=True):
            times = np.arange(-(-len(frames) // hops)) * self.file.frame_seconds
            masks.append(find_speech(samples[span], self.sample_rate, times))
            nearby.append(np.convolve(masks[-1], np.ones(2 * reach + 1))[reach:-reach] > 0)
        kept = [frames[near.repeat(hops)[: len(frames)]] for frames, near in zip(features, nearby, strict=True)]
        found = iter(self.log_probabilities([frames for frames in kept if len(frames)]))
        results = [self.blanks(1 + len(samples) // self.frame_samples) for samples in recordings]
        for result, mask, near, span in zip(results, masks, nearby, spans, strict=True):
            if mask.any():
                first = span.start // self.frame_samples
                result[first : first + len(mask)][mask] = next(found)[mask[near]]
        return results

    def blanks(self, frames: int) -> np.ndarray:
        """Log-probabilities of output frames that are certain blanks, `(frames, tokens + phones)`."""
        tokens, phones = len(self.file.tokenizer.pieces), len(self.file.phones)
        whole = np.full((frames, tokens + phones), IMPOSSIBLE, np.float32)
        whole[:, [BLANK, tokens] if phones else [BLANK]] = 0
        return whole

    def to_transcript(self, found: Decoding, samples: int) -> Transcript:
        """The transcript of a recording of this many samples: frames become seconds."""
        duration = samples / self.sample_rate

        def seconds(frame: int) -> float:
            return round(min(frame * self.file.frame_seconds, duration), 3)

        words = tuple(Word(word.text, seconds(word.start), seconds(word.end), word.confidence) for word in found.words)
        others = tuple(Alternative(each.text, each.score, each.acoustic, each.lm) for each in found.hypotheses)
        return Transcript(found.text, words, duration, alternatives=others)
