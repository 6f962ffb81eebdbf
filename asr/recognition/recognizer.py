"""Audio -> Transcript: a model file, made ready to recognise recordings."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from asr.audio.io import AudioPieces, read_audio
from asr.decoding.config import DecoderConfig, load_decoder
from asr.decoding.decoder import make_decoder
from asr.errors import AudioError
from asr.model.engine import Device, Precision
from asr.model.model_file import ModelFile, load_model
from asr.pretrained import ENGLISH
from asr.recognition.pipeline import recognize
from asr.recognition.scorer import Scorer
from asr.transcript import Transcript

BATCH_SECONDS = 120.0  # of a long recording that the network hears at once


class Recognizer(Scorer):
    """A trained model that turns sound into words.

    >>> model = Recognizer.load("model.safetensors")  # doctest: +SKIP
    >>> model.transcribe("talk.wav").text  # doctest: +SKIP
    'seven three'
    """

    def __init__(
        self,
        file: ModelFile,
        device: Device = "auto",
        decoder: DecoderConfig | None = None,
        precision: Precision = "auto",
    ):
        super().__init__(file, device, precision)
        self.decoder = make_decoder(decoder or DecoderConfig(), file.tokenizer, file.text, file.phones, file.priors)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike = ENGLISH,
        device: Device = "auto",
        decoder: DecoderConfig | None = None,
        precision: Precision = "auto",
    ) -> "Recognizer":
        """Read a model file, or the English one that comes with the program; raises `asr.errors.ModelFileError` when
        it cannot be used.

        Without `decoder` the one of the decoder.toml beside the model is used if there is one, else greedy decoding.
        `device` and `precision` are those of `asr.recognition.config.RunConfig`.
        """
        return cls(load_model(path), device, decoder or load_decoder(Path(path)), precision)

    def transcribe(self, source: str | os.PathLike | BinaryIO | np.ndarray) -> Transcript:
        """The words of a sound file, an open binary stream, or samples `(samples,)` at `sample_rate`, of any length.

        Raises `asr.errors.AudioError` naming the file when it cannot be read.
        """
        if isinstance(source, np.ndarray):
            audio = AudioPieces(len(source) / self.sample_rate, (), iter([source.astype(np.float32, copy=False)]))
            sources = [("", lambda: contextlib.nullcontext(audio))]
        else:
            sources = [("", lambda: read_audio(source, self.sample_rate))]
        ((_, result),) = recognize(self, self.decoder, sources, BATCH_SECONDS)
        if isinstance(result, AudioError):
            raise result
        return result

    def recognize(self, recordings: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcripts of several recordings at once, each samples `(samples,)` float32 at `sample_rate`."""
        emissions = self.emissions(recordings)
        decodings = self.decoder.decode_batch(emissions)
        return [self.to_transcript(found, len(samples)) for found, samples in zip(decodings, recordings, strict=True)]
