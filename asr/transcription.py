"""Many recordings at once: finding them, recognising them in batches, and keeping failures apart from results."""

import glob
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from asr.audio import Audio, find_audio, load_audio, load_utterance
from asr.batching import plan_in_order
from asr.distributed import ALONE, Group
from asr.errors import AudioError
from asr.manifest import Utterance
from asr.progress import progress_bar
from asr.recognizer import Recognizer
from asr.transcript import Transcript

STDIN = "-"


@dataclass(frozen=True)
class Failure:
    """An input that could not be recognised, and why."""

    name: str
    reason: str


def expand_inputs(inputs: Sequence[str]) -> tuple[list[str], list[Failure]]:
    """Sound files named by files, folders (walked), globs and `-`, each once and in order, and what names none."""
    found: dict[str, str] = {}  # absolute path: as it was given
    failures = []
    for name in inputs:
        if name == STDIN or os.path.isfile(name):
            names = [name]
        elif os.path.isdir(name):
            names = [str(path) for path in find_audio(name)]
            if not names:
                failures.append(Failure(name, f"{name}: no sound files in this folder"))
        elif glob.has_magic(name):
            names = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
            if not names:
                failures.append(Failure(name, f"{name}: the pattern matches no file"))
        else:
            names = []
            failures.append(Failure(name, f"{name}: no such file or folder"))
        for path in names:
            found.setdefault(path if path == STDIN else os.path.abspath(path), path)
    return list(found.values()), failures


def transcribe_files(
    recognizer: Recognizer, names: Sequence[str], batch_seconds: float, group: Group = ALONE
) -> Iterator[tuple[str, Transcript | Failure]]:
    """The transcript of each sound file, or why there is none, in the order of `names` and as soon as known.

    Several processes share the files; the one that leads gives all results, at the end, the others none.
    """
    if group.size == 1:
        yield from _transcribe(recognizer, names, batch_seconds)
        return
    own = dict(_transcribe(recognizer, names[group.rank :: group.size], batch_seconds))
    results = group.merge(own)
    if group.leads:
        yield from ((name, results[name]) for name in names)


def _transcribe(
    recognizer: Recognizer, names: Sequence[str], batch_seconds: float
) -> Iterator[tuple[str, Transcript | Failure]]:
    waiting: list[tuple[str, Audio | Failure]] = []
    seconds = 0.0
    for name in names:
        loaded = _load(name, lambda name=name: _read(name, recognizer.sample_rate))
        length = loaded.duration if isinstance(loaded, Audio) else 0.0
        if waiting and seconds + length > batch_seconds:
            yield from _recognize(recognizer, waiting)
            waiting, seconds = [], 0.0
        waiting.append((name, loaded))
        seconds += length
    yield from _recognize(recognizer, waiting)


@dataclass(frozen=True)
class Recognition:
    """What a model heard in the utterances of a manifest."""

    pairs: list[tuple[Utterance, Transcript]]
    failures: list[tuple[str, str]]  # (utterance id, reason)
    compute_seconds: float  # of reading, features, network and decoding


def recognize_utterances(
    recognizer: Recognizer, utterances: Sequence[Utterance], batch_seconds: float, group: Group = ALONE
) -> Recognition:
    """Recognise all utterances, those of similar length together; results are in the order of `utterances`. Several
    processes share the batches, and all of them get all results."""
    started = time.perf_counter()
    results: dict[int, Transcript | Failure] = {}
    plan = plan_in_order([utterance.duration for utterance in utterances], batch_seconds)[group.rank :: group.size]
    total = sum(utterances[index].duration for indices in plan for index in indices)
    with progress_bar("recognising", total) as advance:
        for indices in plan:
            batch = [
                (
                    index,
                    _load(utterances[index].id, lambda i=index: load_utterance(utterances[i], recognizer.sample_rate)),
                )
                for index in indices
            ]
            results |= dict(_recognize(recognizer, batch))
            advance(sum(utterances[index].duration for index in indices))
    results = group.merge(results)
    pairs = [(utterances[i], results[i]) for i in sorted(results) if isinstance(results[i], Transcript)]
    failures = [(utterances[i].id, results[i].reason) for i in sorted(results) if isinstance(results[i], Failure)]
    return Recognition(pairs, failures, time.perf_counter() - started)


def utterance_emissions(
    recognizer: Recognizer, utterances: Sequence[Utterance], batch_seconds: float
) -> list[np.ndarray]:
    """Log-probabilities `(output frames, tokens)` of each utterance; an unreadable one is an `AudioError`."""
    emissions: dict[int, np.ndarray] = {}
    plan = plan_in_order([utterance.duration for utterance in utterances], batch_seconds)
    with progress_bar("network", sum(utterance.duration for utterance in utterances)) as advance:
        for indices in plan:
            samples = [load_utterance(utterances[index], recognizer.sample_rate).samples for index in indices]
            emissions |= zip(indices, recognizer.emissions(samples), strict=True)
            advance(sum(utterances[index].duration for index in indices))
    return [emissions[index] for index in range(len(utterances))]


def _read(name: str, sample_rate: int) -> Audio:
    if name != STDIN:
        return load_audio(name, sample_rate)
    if sys.stdin is None:
        raise AudioError("-: standard input is closed; pipe a sound file into it")
    return load_audio(sys.stdin.buffer, sample_rate)


def _load(name: str, read: Callable[[], Audio]) -> Audio | Failure:
    try:
        return read()
    except AudioError as error:
        return Failure(name, str(error))


def _recognize(recognizer: Recognizer, batch: Iterable[tuple]) -> Iterator[tuple]:
    """(key, audio or failure) pairs -> (key, transcript or failure) pairs, in the same order."""
    batch = list(batch)
    sounds = [loaded for _, loaded in batch if isinstance(loaded, Audio)]
    transcripts = iter(recognizer.recognize([audio.samples for audio in sounds]) if sounds else [])
    for key, loaded in batch:
        if isinstance(loaded, Audio):
            yield key, replace(next(transcripts), notes=loaded.notes)
        else:
            yield key, loaded
