"""Audio -> Transcript: a model file, made ready to recognise recordings."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from asr.audio import AudioPieces, read_audio
from asr.batching import pad
from asr.checkpoint import ModelFile, load_model
from asr.decoding.decoder import Decoding, make_decoder
from asr.device import choose_device, choose_precision
from asr.errors import AudioError
from asr.features import LogMel
from asr.models import ENGLISH
from asr.options import DecoderConfig, load_decoder
from asr.transcript import Alternative, Transcript, Word

BATCH_SECONDS = 120.0  # of a long recording that the network hears at once


class Recognizer:
    """A trained model that turns sound into words.

    >>> model = Recognizer.load("model.safetensors")  # doctest: +SKIP
    >>> model.transcribe("talk.wav").text  # doctest: +SKIP
    'seven three'
    """

    def __init__(
        self,
        file: ModelFile,
        device: str = "auto",
        decoder: DecoderConfig | None = None,
        precision: str = "float32",
    ):
        self.file = file
        self.decoder = make_decoder(decoder or DecoderConfig(), file.tokenizer, file.text, file.phones, file.priors)
        self.device = choose_device(device)
        self._dtype, _ = choose_precision(precision, self.device)
        self._model = file.model.to(self.device).eval()
        self._log_mel = LogMel(file.features)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike = ENGLISH,
        device: str = "auto",
        decoder: DecoderConfig | None = None,
        precision: str = "float32",
    ) -> "Recognizer":
        """Read a model file, or the English one that comes with the program; raises `asr.errors.ModelFileError` when
        it cannot be used.

        Without `decoder` the one of the decoder.toml beside the model is used if there is one, else greedy decoding.
        `device` and `precision` are those of `asr.options.RunConfig`.
        """
        return cls(load_model(path), device, decoder or load_decoder(Path(path)), precision)

    @property
    def sample_rate(self) -> int:
        """Hertz of the samples that the model takes."""
        return self.file.features.sample_rate

    @property
    def frame_samples(self) -> int:
        """Samples from one output frame to the next."""
        return self._log_mel.hop * self.file.architecture.subsampling

    def transcribe(self, source: str | os.PathLike | BinaryIO | np.ndarray) -> Transcript:
        """The words of a sound file, an open binary stream, or samples `(samples,)` at `sample_rate`, of any length.

        Raises `asr.errors.AudioError` naming the file when it cannot be read.
        """
        from asr.pipeline import recognize

        if isinstance(source, np.ndarray):
            audio = AudioPieces(len(source) / self.sample_rate, (), iter([source.astype(np.float32, copy=False)]))
            sources = [("", lambda: contextlib.nullcontext(audio))]
        else:
            sources = [("", lambda: read_audio(source, self.sample_rate))]
        ((_, result),) = recognize(self, sources, BATCH_SECONDS)
        if isinstance(result, AudioError):
            raise result
        return result

    def recognize(self, recordings: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcripts of several recordings at once, each samples `(samples,)` float32 at `sample_rate`."""
        emissions = self.emissions(recordings)
        decodings = self.decoder.decode_batch(emissions)
        return [self.to_transcript(found, len(samples)) for found, samples in zip(decodings, recordings, strict=True)]

    def log_mel(self, samples: np.ndarray) -> torch.Tensor:
        """The features the model hears: `(samples,)` -> `(frames, mels)`."""
        return self._log_mel(torch.as_tensor(samples, dtype=torch.float32))

    def emissions(self, recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Log-probabilities of several recordings at once: `(samples,)` each -> `(output frames, tokens + phones)`."""
        return self.log_probabilities([self.log_mel(samples).numpy() for samples in recordings])

    @torch.inference_mode()
    def log_probabilities(self, features: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What the network says of several recordings at once: `(frames, mels)` each -> as `emissions`."""
        padded, lengths = pad(features, self.file.features.hop_seconds)
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
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
