"""Many recordings at once: finding them, recognising them in batches, and separating failures from results."""

import glob
import io
import os
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from asr.audio.io import AudioPieces, find_audio, open_recording, probe, read_audio
from asr.data.manifest import Utterance, read_utterance
from asr.data.utterances import durations_of
from asr.decoding.decoder import Decoding
from asr.errors import AudioError
from asr.model.padding import plan_in_order
from asr.output.formats import STDIN
from asr.output.segments import without_doubtful_segments
from asr.recognition.config import TranscribeConfig
from asr.recognition.pipeline import Source, recognize, segments
from asr.recognition.recognizer import Recognizer
from asr.transcript import Transcript
from asr.utils import storage
from asr.utils.prefetch import prefetch_map
from asr.utils.progress import progress_bar

OPEN_AHEAD = 8  # objects, of each of which up to 4 MiB are read


@dataclass(frozen=True)
class Failure:
    """An input that could not be recognised, and why."""

    name: str
    reason: str


def expand_inputs(inputs: Sequence[str]) -> tuple[list[str], list[Failure]]:
    """Sound files of files, folders (searched recursively), globs and `-`, each once and in order; and what failed."""
    found: dict[str, str] = {}  # absolute path: as it was given
    failures = []
    for name in inputs:
        if storage.is_url(name):
            names, failure = _expand_url(name)
            failures += [failure] if failure else []
        elif name == STDIN or os.path.isfile(name):
            names = [name]
        elif os.path.isdir(name):
            names = [str(path) for path in find_audio(name)]
            if not names:
                failures.append(Failure(name, f"{name}: no sound files in this folder"))
        elif glob.has_magic(name):
            names = storage.glob(name)
            if not names:
                failures.append(Failure(name, f"{name}: the pattern matches no file"))
        else:
            names = []
            failures.append(Failure(name, f"{name}: no such file or folder"))
        for path in names:
            found.setdefault(path if path == STDIN else storage.absolute(path), path)
    return list(found.values()), failures


def _expand_url(name: str) -> tuple[list[str], Failure | None]:
    """The sound files that a URL names: one, those that match it as a pattern, or those below it."""
    try:
        if storage.has_magic(name):
            names, missing = storage.glob(name), "the pattern matches no file"
        elif storage.is_file(name):
            return [name], None
        else:
            names, missing = [storage.shown(path) for path in find_audio(name)], "no such file, or no sound files below"
    except OSError as error:
        names, missing = [], error.strerror
    return names, None if names else Failure(name, f"{name}: {missing}")


def transcribe_files(
    recognizer: Recognizer, names: Sequence[str], batch_seconds: float
) -> Iterator[tuple[str, Transcript | Failure]]:
    """The transcript of each sound file, or why there is none, in the order of `names` and as soon as known."""
    with (
        ThreadPoolExecutor(OPEN_AHEAD) as pool,
        progress_bar("transcribing", sum(map(_seconds, names)), audio=True) as advance,
    ):
        # A request takes longer than recognising a short recording: several objects are opened at a time.
        objects = prefetch_map(_open_object, filter(_is_opened_ahead, names), pool, OPEN_AHEAD)
        sources = [(name, lambda name=name: _read(name, recognizer.sample_rate, objects)) for name in names]
        for name, result in _results(recognizer, sources, batch_seconds, advance):
            yield name, recognizer.write(result) if isinstance(result, Transcript) else result


def confident(
    results: Iterable[tuple[str, Transcript | Failure]], config: TranscribeConfig
) -> Iterator[tuple[str, Transcript | Failure]]:
    """The results without the segments that --min_confidence leaves out."""
    for name, result in results:
        if isinstance(result, Transcript) and config.min_confidence:
            result = without_doubtful_segments(result, config.min_confidence, config.search.segment_slope)
        yield name, result


@dataclass(frozen=True)
class Recognition:
    """The transcripts of a manifest's utterances: words as recognised, without punctuation."""

    pairs: list[tuple[Utterance, Transcript]]
    failures: list[tuple[str, str]]  # (utterance id, reason)
    compute_seconds: float  # of reading, features, network and decoding

    @classmethod
    def of(
        cls, utterances: Sequence[Utterance], results: Sequence[Transcript | Failure], compute_seconds: float
    ) -> "Recognition":
        """From the result of each utterance."""
        both = list(zip(utterances, results, strict=True))
        pairs = [(utterance, result) for utterance, result in both if isinstance(result, Transcript)]
        failures = [(utterance.id, result.reason) for utterance, result in both if isinstance(result, Failure)]
        return cls(pairs, failures, compute_seconds)


def recognize_utterances(recognizer: Recognizer, utterances: Sequence[Utterance], batch_seconds: float) -> Recognition:
    """Recognise all utterances; results are in their order."""
    started = time.perf_counter()
    results = recognize_each(recognizer, utterances, batch_seconds)
    return Recognition.of(utterances, results, time.perf_counter() - started)


def recognize_each(
    recognizer: Recognizer, utterances: Sequence[Utterance], batch_seconds: float
) -> list[Transcript | Failure]:
    """The transcript of each utterance, or why there is none. Those of similar length are recognised together."""
    durations = durations_of(utterances)
    order = [index for indices in plan_in_order(durations, batch_seconds) for index in indices]
    sources = [(i, lambda i=i: read_utterance(utterances[i], recognizer.sample_rate)) for i in order]
    with progress_bar("recognising", float(durations.sum()), audio=True) as advance:
        results = dict(_results(recognizer, sources, batch_seconds, advance))
    return [results[index] for index in range(len(utterances))]


def utterance_emissions(
    recognizer: Recognizer, utterances: Sequence[Utterance], batch_seconds: float
) -> list[np.ndarray]:
    """Log-probabilities `(output frames, tokens)` of each utterance; an unreadable one is an `AudioError`."""
    plan = plan_in_order(durations_of(utterances), batch_seconds)
    order = [index for indices in plan for index in indices]
    sources = [(i, lambda i=i: read_utterance(utterances[i], recognizer.sample_rate)) for i in order]
    emissions: dict[Hashable, list[np.ndarray]] = {index: [] for index in order}
    with progress_bar("network", sum(utterance.duration for utterance in utterances), audio=True) as advance:
        for segment in segments(recognizer, sources, batch_seconds, advance):
            if segment.ending and segment.ending.error:
                raise segment.ending.error
            emissions[segment.key].append(segment.emission)
    return [np.concatenate(emissions[index]) for index in range(len(utterances))]


def transcribed(
    recognizer: Recognizer, utterances: Sequence[Utterance], decodings: Sequence[Decoding]
) -> list[tuple[Utterance, Transcript]]:
    """Each utterance with the transcript of its decoding."""
    lengths = [round(utterance.duration * recognizer.sample_rate) for utterance in utterances]
    transcripts = map(recognizer.to_transcript, decodings, lengths)
    return list(zip(utterances, transcripts, strict=True))


def _results(
    recognizer: Recognizer, sources: Sequence[Source], batch_seconds: float, advance: Callable[[float], None]
) -> Iterator[tuple[Any, Transcript | Failure]]:
    for key, result in recognize(recognizer, recognizer.decoder, sources, batch_seconds, advance):
        yield key, Failure(str(key), str(result)) if isinstance(result, AudioError) else result


def _is_opened_ahead(name: str) -> bool:
    """Whether an input is an object. A web server may send no parts: its files are opened when their turn comes."""
    return storage.is_url(name) and not name.startswith("http")


def _open_object(url: str) -> io.RawIOBase | AudioError:
    """An object whose first bytes have been read, or why they cannot be."""
    try:
        stream = open_recording(url)
        stream.read(1)
        stream.seek(0)
    except AudioError as error:
        return error
    except OSError as error:
        return AudioError(f"{url}: {error.strerror}")
    return stream


def _read(
    name: str, sample_rate: int, objects: Iterator[io.RawIOBase | AudioError]
) -> AbstractContextManager[AudioPieces]:
    """The audio of an input; `objects` are those of the inputs that are opened ahead, in their order."""
    if _is_opened_ahead(name):
        opened = next(objects)
        if isinstance(opened, AudioError):
            raise opened
        return read_audio(opened, sample_rate)
    if name != STDIN:
        return read_audio(name, sample_rate)
    if sys.stdin is None:
        raise AudioError("-: standard input is closed; pipe a sound file into it")
    return read_audio(sys.stdin.buffer, sample_rate)


def _seconds(name: str) -> float:
    """Duration by the header; 0 for standard input, for objects, each of which would take a request, and for what
    cannot be read, which is reported later."""
    try:
        return 0.0 if name == STDIN or storage.is_url(name) else probe(name).duration
    except AudioError:
        return 0.0
