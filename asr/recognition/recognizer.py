"""Audio -> Transcript: a model file, made ready to recognise recordings."""

import contextlib
import copy
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from numpy.typing import ArrayLike

from asr.audio.arrays import to_mono
from asr.audio.io import AudioPieces, read_audio
from asr.decoding.config import DecoderConfig, load_decoder
from asr.decoding.decoder import make_decoder
from asr.errors import AudioError
from asr.model.engine import Device, Precision
from asr.model.model_file import ModelFile, load_model
from asr.pretrained import ENGLISH
from asr.punctuation.config import WritingConfig
from asr.punctuation.writer import Writer
from asr.recognition.config import BATCH_SECONDS
from asr.recognition.pipeline import Source, recognize, recognize_parts
from asr.recognition.scorer import Scorer
from asr.text.normalizer import normalize
from asr.transcript import Transcript, Word


class Recognizer(Scorer):
    """A trained model that transcribes recordings.

    Examples:
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
        voice_activity: bool = True,
        writing: WritingConfig = WritingConfig(),  # noqa: B008 (frozen)
    ):
        super().__init__(file, device, precision, voice_activity)
        config = decoder or DecoderConfig()
        self.decoder = make_decoder(config, file.tokenizer, file.text, file.phones, file.priors)
        self._hotword_boost = config.hotword_boost
        self.write = Writer(file.path, writing)

    @property
    def separator(self) -> str:
        """What separates words in the model's transcripts: nothing in a script without spaces."""
        return self.decoder.separator

    def join(self, words: Iterable[Word]) -> str:
        """Words as the text of a transcript."""
        return self.separator.join(word.text for word in words)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike = ENGLISH,
        device: Device = "auto",
        decoder: DecoderConfig | None = None,
        precision: Precision = "auto",
        voice_activity: bool = True,
        writing: WritingConfig = WritingConfig(),  # noqa: B008 (frozen)
    ) -> "Recognizer":
        """Load a model file, by default the English model. Raises `asr.errors.ModelFileError` if it cannot be used.

        Without `decoder`, the decoder is that of the decoder.toml beside the model if there is one, else greedy
        decoding. `device`, `precision` and `voice_activity` are those of `asr.recognition.config.RunConfig`. `writing`
        determines how transcripts are written: by default with punctuation, if there is a punctuation.safetensors
        beside the model.
        """
        return cls(load_model(path), device, decoder or load_decoder(Path(path)), precision, voice_activity, writing)

    def with_hotwords(self, phrases: Iterable[str]) -> "Recognizer":
        """A recogniser that prefers these words and phrases and shares everything else with this one. Phrases that the
        model cannot write or pronounce are left out."""
        from asr.decoding.hotwords import Phrase  # greedy decoding imports no numba

        texts = dict.fromkeys(normalize(phrase, self.file.text) for phrase in phrases)
        other = copy.copy(self)
        other.decoder = self.decoder.with_hotwords([Phrase(text, self._hotword_boost) for text in texts])
        return other

    def transcribe(
        self, source: str | os.PathLike | BinaryIO | ArrayLike, most_seconds: float = math.inf
    ) -> Transcript:
        """Transcribe a sound file, an open binary stream, or samples at `sample_rate`, of any length.

        Samples may be an array, a tensor or a list: `(samples,)`, `(samples, channels)` or `(channels, samples)`, see
        `asr.audio.arrays.to_mono`. Raises `asr.errors.AudioError` if the file or the samples cannot be used, and its
        subclass `AudioTooLongError` for a file of more than `most_seconds`.
        """
        if isinstance(source, (str, os.PathLike)) or hasattr(source, "read"):
            file = cast("str | os.PathLike | BinaryIO", source)
            opened: Source = ("", lambda: read_audio(file, self.sample_rate, most_seconds=most_seconds))
        else:
            samples, notes = to_mono(source, self.sample_rate)
            audio = AudioPieces(len(samples) / self.sample_rate, notes, iter([samples]))
            opened = ("", lambda: contextlib.nullcontext(audio))
        ((_, result),) = recognize(self, self.decoder, [opened], BATCH_SECONDS)
        if isinstance(result, AudioError):
            raise result
        return self.write(result)

    def transcribe_parts(
        self, source: str | os.PathLike | BinaryIO, most_seconds: float = math.inf
    ) -> Iterator[Transcript]:
        """Transcribe a sound file or an open binary stream in parts that end at pauses, each as soon as it is known.
        The `duration` of a part is its end in the recording. Raises `asr.errors.AudioError` as `transcribe` does."""
        opened = ("", lambda: read_audio(source, self.sample_rate, most_seconds=most_seconds))
        return map(self.write, recognize_parts(self, self.decoder, opened, BATCH_SECONDS))

    def recognize(self, recordings: Sequence[ArrayLike]) -> list[Transcript]:
        """Transcribe several recordings at once, each as samples in one of the forms that `transcribe` accepts."""
        if not recordings:
            return []
        monos = [to_mono(samples, self.sample_rate)[0] for samples in recordings]
        emissions = self.of_speech(list(map(self.features_of_sound, monos)), monos)
        decodings = self.decoder.decode_batch(emissions)
        found = (self.to_transcript(*each) for each in zip(decodings, map(len, monos), strict=True))
        return [self.write(transcript) for transcript in found]
