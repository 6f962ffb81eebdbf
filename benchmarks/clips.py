"""Recordings of any length and number, joined and cut from those of a manifest."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from asr.data.manifest import Utterance, load_utterance

PAUSE_SECONDS = 0.4  # between joined utterances
CLIP_SECONDS = (1.0, 2.0, 3.0, 4.0, 5.0)  # lengths of the short files, in turn


def speech(utterances: Sequence[Utterance], sample_rate: int) -> Iterator[np.ndarray]:
    """The utterances in an endless cycle, each followed by a pause: `(samples,)` each."""
    pause = np.zeros(round(PAUSE_SECONDS * sample_rate), np.float32)
    for utterance in itertools.cycle(utterances):
        yield np.concatenate([load_utterance(utterance, sample_rate).samples, pause])


def cut(pieces: Iterator[np.ndarray], lengths: Sequence[int]) -> Iterator[np.ndarray]:
    """Joined pieces, cut into parts of these lengths in samples."""
    held = np.zeros(0, np.float32)
    for length in lengths:
        while len(held) < length:
            held = np.concatenate([held, next(pieces)])
        yield held[:length]
        held = held[length:]


def write_long(path: Path, seconds: float, utterances: Sequence[Utterance], sample_rate: int) -> Path:
    """One recording of `seconds`, as FLAC, written minute by minute to bound memory."""
    whole, rest = divmod(round(seconds * sample_rate), 60 * sample_rate)
    with soundfile.SoundFile(path, "w", sample_rate, 1) as sound:
        for part in cut(speech(utterances, sample_rate), [60 * sample_rate] * whole + [rest]):
            sound.write(part)
    return path


def write_short(folder: Path, count: int, utterances: Sequence[Utterance], sample_rate: int) -> list[Path]:
    """Many recordings of 1 to 5 seconds, as FLAC."""
    lengths = [round(CLIP_SECONDS[index % len(CLIP_SECONDS)] * sample_rate) for index in range(count)]
    paths = [folder / f"short-{index:05d}.flac" for index in range(count)]
    for path, part in zip(paths, cut(speech(utterances, sample_rate), lengths), strict=True):
        soundfile.write(path, part, sample_rate)
    return paths
