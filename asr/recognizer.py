"""Audio -> Transcript: a model file, made ready to recognise recordings."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

import numpy as np
import torch

from asr.audio import load_audio
from asr.batching import pad
from asr.checkpoint import ModelFile, load_model
from asr.decoding.greedy import Tokens, greedy
from asr.device import choose_device
from asr.features import LogMel
from asr.transcript import Transcript, Word


class Recognizer:
    """A trained model that turns sound into words.

    >>> model = Recognizer.load("model.safetensors")  # doctest: +SKIP
    >>> model.transcribe("talk.wav").text  # doctest: +SKIP
    'seven three'
    """

    def __init__(self, file: ModelFile, device: str = "auto"):
        self.file = file
        self.device = choose_device(device)
        self._model = file.model.to(self.device).eval()
        self._log_mel = LogMel(file.features)

    @classmethod
    def load(cls, path: str | os.PathLike, device: str = "auto") -> "Recognizer":
        """Read a model file; raises `asr.errors.ModelFileError` when it cannot be used."""
        return cls(load_model(path), device)

    @property
    def sample_rate(self) -> int:
        """Hertz of the samples that the model takes."""
        return self.file.features.sample_rate

    def transcribe(self, source: str | os.PathLike | BinaryIO | np.ndarray) -> Transcript:
        """The words of a sound file, an open binary stream, or samples `(samples,)` at `sample_rate`.

        Raises `asr.errors.AudioError` naming the file when it cannot be read.
        """
        if isinstance(source, np.ndarray):
            return self.recognize([source])[0]
        audio = load_audio(source, self.sample_rate)
        return replace(self.recognize([audio.samples])[0], notes=audio.notes)

    def recognize(self, recordings: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcripts of several recordings at once, each samples `(samples,)` float32 at `sample_rate`."""
        features = [self.log_mel(samples) for samples in recordings]
        log_probabilities, lengths = self._run(features)
        decoded = greedy(log_probabilities, lengths)
        return [self._transcript(tokens, len(samples)) for tokens, samples in zip(decoded, recordings, strict=True)]

    def log_mel(self, samples: np.ndarray) -> torch.Tensor:
        """The features the model hears: `(samples,)` -> `(frames, mels)`."""
        return self._log_mel(torch.as_tensor(samples, dtype=torch.float32))

    def emission(self, samples: np.ndarray) -> np.ndarray:
        """Log-probabilities of one recording: `(samples,)` -> `(output frames, tokens)`."""
        log_probabilities, lengths = self._run([self.log_mel(samples)])
        return log_probabilities[0, : lengths[0]]

    @torch.inference_mode()
    def _run(self, features: Sequence[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        padded, lengths = pad(features, self.file.features.hop_seconds)
        log_probabilities, lengths = self._model(padded.to(self.device), lengths.to(self.device))
        return log_probabilities.cpu().numpy(), lengths.cpu().numpy()

    def _transcript(self, tokens: Tokens, samples: int) -> Transcript:
        duration = samples / self.sample_rate
        words = words_of(tokens, self.file.tokenizer.pieces, self.file.frame_seconds, duration)
        return Transcript(self.file.tokenizer.decode(tokens.indices), words, duration)


def words_of(tokens: Tokens, pieces: Sequence[str], frame_seconds: float, duration: float) -> tuple[Word, ...]:
    """Words with times and confidence from decoded tokens; a space in a piece begins a new word.

    A word lasts from the first frame of its first token to the end of the last token's last frame, no longer than
    the recording. These are times of the network's output: CTC does not bind a token to its sound, and a
    bidirectional model, above all one of byte-pair units, may write it some tenths of a second early or late.
    """
    words: list[Word] = []
    text, members = "", []

    def finish() -> None:
        if text:
            start = float(tokens.starts[members[0]] * frame_seconds)
            end = float(tokens.ends[members[-1]] * frame_seconds)
            confidence = float(np.exp(np.mean(tokens.log_probabilities[members])))
            words.append(Word(text, round(min(start, duration), 3), round(min(end, duration), 3), confidence))

    for position, index in enumerate(tokens.indices):
        for part, fragment in enumerate(pieces[index].split(" ")):
            if part:
                finish()
                text, members = "", []
            if fragment:
                text += fragment
                members.append(position)
    finish()
    return tuple(words)
