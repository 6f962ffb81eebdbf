"""Recognised words -> the transcript as people write it: punctuation, capital letters and, if asked for, digits."""

import functools
import os
from dataclasses import replace

from asr.punctuation.config import WritingConfig
from asr.punctuation.labeller import Labeller, punctuation_file
from asr.punctuation.labels import write
from asr.punctuation.live import LiveWriter
from asr.punctuation.numbers import find_numbers
from asr.punctuation.pauses import pauses_between
from asr.transcript import Transcript
from asr.utils.extras import require


class Writer:
    """Writes words as `config` asks. The punctuation model beside an acoustic model is read when it is first needed."""

    def __init__(self, model: str | os.PathLike, config: WritingConfig):
        """Raises `ImportError` for digits without the package that finds them."""
        self._model, self._config = model, config
        self._file = punctuation_file(model) if config.punctuation else None
        if config.numbers == "digits":
            require("text_to_num")

    def __reduce__(self):  # another process reads the model anew
        return Writer, (self._model, self._config)

    def __call__(self, transcript: Transcript) -> Transcript:
        """The transcript as written; the words as recognised are kept as `spoken`."""
        digits = self._config.numbers == "digits"
        return written(transcript, self._labeller, digits) if self._file or digits else transcript

    def live(self) -> LiveWriter:
        """A writer for the words of one stream, whose numbers stay words."""
        return LiveWriter(self._labeller)

    @functools.cached_property
    def _labeller(self) -> Labeller | None:
        return Labeller(self._file) if self._file else None


def written(transcript: Transcript, labeller: Labeller | None, digits: bool) -> Transcript:
    """The transcript with punctuation and capital letters, if there is a labeller, and with digits, if they are wanted.

    A number of several words becomes one, from the start of the first to the end of the last, as confident as the least
    confident of them.
    """
    words = transcript.words
    texts = [word.text for word in words]
    pairs = (
        list(write(texts, *labeller.label(texts, pauses_between(words))))
        if labeller
        else [(text, "") for text in texts]
    )
    found, at = [], 0
    for number in [*find_numbers(words)] if digits else []:
        found += [replace(words[i], text="".join(pairs[i])) for i in range(at, number.start)]
        parts, at = words[number.start : number.end], number.end
        confidence = min(part.confidence for part in parts)
        text = number.text + pairs[at - 1][1]
        found.append(replace(parts[0], text=text, end=parts[-1].end, confidence=confidence))
    found += [replace(words[i], text="".join(pairs[i])) for i in range(at, len(words))]
    return replace(transcript, text=transcript.join(found), words=tuple(found), spoken=words)
