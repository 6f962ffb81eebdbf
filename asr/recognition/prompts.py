"""`asr record`: sentences to read, one after the other, into a folder of recordings beside their texts."""

import contextlib
import itertools
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from asr.audio.io import wav
from asr.data.survey import is_clipped
from asr.errors import AsrError, ConfigError
from asr.utils.files import read_lines, read_text, write_together

RATE = 16000  # hertz
QUIET = 0.02  # root mean square of the loudest 100 ms, as a share of full scale: -34 dB
SECONDS_PER_CHARACTER = 0.03  # nobody speaks faster
EDGE_SECONDS = 0.1  # at both ends, in which there must be no speech
HELP = "Enter starts and ends a recording; then Enter keeps it, r repeats it, s skips the sentence, q quits."

Microphone = Callable[[], Generator[np.ndarray, None, None]]  # pieces `(samples,)` from now on


@dataclass(frozen=True)
class Prompt:
    """A sentence to read and the files of its recording."""

    text: str
    sound: Path

    @property
    def written(self) -> Path:
        """The text beside the recording."""
        return self.sound.with_suffix(".txt")

    @property
    def done(self) -> bool:
        """Whether it has been recorded."""
        return self.sound.exists() and self.written.exists()


def read_prompts(path: Path, folder: Path, speaker: str) -> list[Prompt]:
    """The non-empty lines of a text file as prompts, numbered, with files in the speaker's folder.

    Raises `ConfigError` for a file without lines or a recording there that belongs to another text.
    """
    if not speaker or "/" in speaker or speaker.startswith("."):
        raise ConfigError(f"--speaker {speaker!r}: must be a name that a folder can have")
    lines = [" ".join(line.split()) for line in read_lines(path, ConfigError, "give a text file, a sentence per line")]
    prompts = [Prompt(text, folder / speaker / f"{n:04d}.wav") for n, text in enumerate(filter(None, lines), start=1)]
    if not prompts:
        raise ConfigError(f"{path}: no sentences in it; write one per line")
    for prompt in prompts:
        other = "choose another --output or --speaker"
        if prompt.written.exists() and read_text(prompt.written, ConfigError, other).strip() != prompt.text:
            raise ConfigError(
                f"{prompt.written}: is of another sentence than line {prompt.sound.stem} of {path}; {other}"
            )
    return prompts


def faults(samples: np.ndarray, sample_rate: int, text: str) -> list[str]:
    """What is wrong with a recording `(samples,)` of a sentence, with the remedy."""
    if not len(samples):
        return ["nothing was recorded"]
    found, seconds = [], len(samples) / sample_rate
    if seconds < SECONDS_PER_CHARACTER * len(text) + 2 * EDGE_SECONDS:
        found.append("too short: wait a moment before the first word and after the last")
    frame = max(1, sample_rate // 10)
    levels = [
        float(np.sqrt(np.mean(np.square(part)))) for part in np.array_split(samples, max(1, len(samples) // frame))
    ]
    if max(levels) < QUIET:
        found.append("too quiet: come nearer to the microphone, or raise its level")
    if is_clipped(samples):
        found.append("clipped: lower the level of the microphone, or move away from it")
    return found


def record(
    prompts: Iterable[Prompt], microphone: Microphone, sample_rate: int, answers: Callable[[], str], screen: TextIO
) -> int:
    """Record the prompts that have no recording yet; returns how many were recorded.

    `answers` gives the user's lines, "" for Enter; each piece of the microphone is taken until the next answer. A
    recording is written only when it is kept, sound and text or neither.
    """
    prompts = list(prompts)
    open_ones = [(number, prompt) for number, prompt in enumerate(prompts, start=1) if not prompt.done]
    print(f"{len(open_ones)} of {len(prompts)} sentences to record. {HELP}", file=screen)
    recorded = 0
    for number, prompt in open_ones:
        answer = "r"
        while answer == "r":
            print(f"\n[{number}/{len(prompts)}]  {prompt.text}", file=screen)
            answer = answers().strip().lower()
            if answer in ("q", "s"):
                break
            samples = _take(microphone, answers)
            problems = faults(samples, sample_rate, prompt.text)
            print(f"{len(samples) / sample_rate:.1f} s. {'; '.join(problems) or 'good'}", file=screen)
            answer = answers().strip().lower()
            if answer not in ("r", "s", "q"):
                _write(prompt, samples, sample_rate)
                recorded += 1
        if answer == "q":
            break
    return recorded


def _take(microphone: Microphone, answers: Callable[[], str]) -> np.ndarray:
    """`(samples,)` from now until the next answer. Raises the microphone's `AsrError`."""
    pieces: list[np.ndarray] = []
    errors: list[AsrError] = []
    ended = threading.Event()

    def collect() -> None:
        try:
            with contextlib.closing(microphone()) as sound:
                pieces.extend(itertools.takewhile(lambda _: not ended.is_set(), sound))
        except AsrError as error:
            errors.append(error)

    collector = threading.Thread(target=collect, daemon=True)
    collector.start()
    answers()
    ended.set()
    collector.join()
    if errors:
        raise errors[0]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def _write(prompt: Prompt, samples: np.ndarray, sample_rate: int) -> None:
    write_together({prompt.sound: wav(samples, sample_rate), prompt.written: f"{prompt.text}\n"})
