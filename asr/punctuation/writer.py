"""Recognised words -> the transcript as people write it: punctuation, capital letters and, if asked for, digits."""

import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from asr.punctuation.config import WritingConfig
from asr.punctuation.labeller import Labeller, punctuation_file
from asr.punctuation.labels import write
from asr.punctuation.numbers import find_numbers
from asr.punctuation.pauses import pauses_between
from asr.transcript import Transcript
from asr.utils.extras import require


class Writer(Protocol):
    """Writes a transcript's words differently; those recognised are kept as `spoken`."""

    def __call__(self, transcript: Transcript) -> Transcript: ...


def make_writer(model: str | os.PathLike, config: WritingConfig) -> Writer:
    """A writer for the transcripts of an acoustic model. The punctuation model beside it is read on the first call.

    Raises `ImportError` for digits without the package that finds them.
    """
    file = punctuation_file(model) if config.punctuation else None
    digits = config.numbers == "digits"
    if digits:
        require("text_to_num")
    return _Writer(file, digits) if file or digits else unchanged


def unchanged(transcript: Transcript) -> Transcript:
    """The words as they were recognised."""
    return transcript


class _Writer:
    def __init__(self, file: Path | None, digits: bool):
        self._file, self._digits = file, digits

    def __reduce__(self):  # another process reads the model anew
        return _Writer, (self._file, self._digits)

    def __call__(self, transcript: Transcript) -> Transcript:
        return written(transcript, self._labeller, self._digits)

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
