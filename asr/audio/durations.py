"""Durations of many recordings, roughly, for which few of them are opened."""

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import soundfile

from asr.audio.io import probe
from asr.errors import AudioError
from asr.utils import storage

OPENED = 16  # recordings of a kind
USUAL = 1 / 32_000  # seconds per byte of 16-bit samples at 16 kHz

Sizes = Mapping[str, int]  # of recordings, in bytes, by name


def estimate_durations(sizes: Sizes, rates: Callable[[Sequence[Sizes]], Iterable[float]]) -> dict[str, float]:
    """Seconds of each recording: its bytes times the seconds per byte of up to `OPENED` recordings with the same
    suffix, which `rates` returns for each suffix. An hour is 320 MB of WAV at 44.1 kHz, but 8 MB of Opus."""
    kinds = defaultdict(list)
    for name in sizes:
        kinds[os.path.splitext(name)[1].lower()].append(name)
    opened = [names[:: -(-len(names) // OPENED)] for names in kinds.values()]
    found = rates([{name: sizes[name] for name in names} for names in opened])
    return {name: sizes[name] * rate for names, rate in zip(kinds.values(), found, strict=True) for name in names}


def seconds_per_byte(sizes: Sizes) -> float:
    """Seconds per byte of these recordings, by the headers of those that can be read."""
    with ThreadPoolExecutor(OPENED) as pool:
        durations = dict(zip(sizes, pool.map(_seconds, sizes), strict=True))
    known = sum(size for name, size in sizes.items() if durations[name])
    return sum(durations.values()) / known if known else USUAL


def _seconds(name: str) -> float:
    """Seconds of a recording, by its header where libsndfile knows the format; 0 if it cannot be read."""
    # `probe` is for the others, as it searches all of a FLAC file for a second one.
    with (
        contextlib.suppress(soundfile.LibsndfileError, RuntimeError, TypeError, OSError, ValueError),
        storage.open_binary(name) as stream,
    ):
        return soundfile.info(stream).duration
    try:
        return probe(name).duration
    except AudioError:
        return 0.0
