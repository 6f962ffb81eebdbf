"""Manifests: JSON Lines with NeMo's field names, one utterance per line; audio paths are relative to the manifest.

They may be compressed (.gz, .xz, .zst), Parquet tables with the same names as columns, or tar shards.
"""

import contextlib
import hashlib
import os
import random
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from asr.audio.io import Audio, AudioPieces, load_audio, read_audio
from asr.data.manifest_lines import append_lines
from asr.data.missing_recordings import missing_recordings
from asr.data.shards import expand, sound_of
from asr.data.utterances import Utterance, Utterances, durations_of, repeated
from asr.errors import AudioError, ManifestError
from asr.utils import storage
from asr.utils.files import write_atomically

# A recording may differ from the duration in the manifest by the larger of the two: durations are rounded, and MP3
# decoders disagree about padding.
DURATION_TOLERANCE, DURATION_TOLERANCE_SHARE = 0.1, 0.005  # seconds, and share of the recording

SUFFIXES = (
    ".jsonl",
    ".jsonl.gz",
    ".jsonl.xz",
    ".jsonl.zst",
    ".parquet",
    ".tar",
)  # by which a manifest is known among files


def manifest_stem(path: Path) -> str:
    """The name of a manifest without its suffix; empty for other files."""
    return next((path.name.removesuffix(suffix) for suffix in SUFFIXES if path.name.endswith(suffix)), "")


def read_manifest(path: str | os.PathLike, check_audio: bool = False) -> Utterances:
    """Read a manifest; audio paths are resolved against its folder.

    Raises `ManifestError` naming the file, the first faulty line and the number of others: broken JSON, a missing or
    mistyped field, a duplicate id and, with `check_audio`, a missing recording.
    """
    return read_manifests([path], check_audio)


def read_manifests(paths: Sequence[str | os.PathLike], check_audio: bool = False) -> Utterances:
    """The utterances of several manifests; an id that two of them share is a `ManifestError`."""
    utterances = Utterances()
    files = [each for path in paths for each in expand(Path(path))]
    for file in files:
        _read(file, utterances, check_audio)
    if len(files) > 1 and (twice := repeated(utterances.ids)):
        id = utterances.ids[min(twice)]
        raise ManifestError(f"{', '.join(map(str, paths))}: id '{id}' is in more than one of them")
    return utterances.frozen()


def _read(path: Path, utterances: Utterances, check_audio: bool) -> None:
    """Append the utterances of a manifest."""
    first_row, first_problem, problems = len(utterances), (0, ""), 0

    def note(number: int, what: object) -> None:
        nonlocal first_problem, problems
        problems += 1
        if problems == 1 or number < first_problem[0]:
            first_problem = number, f"{path}:{number}: {what}"

    utterances.begin(path.parent)
    batches = list(append_lines(path, utterances, note))
    missing = missing_recordings(utterances, first_row, path.parent) if check_audio else []
    duplicates = repeated(utterances.ids, first_row)
    numbers = array("q", chain.from_iterable(batches) if missing or duplicates else [])
    for row in missing:
        note(numbers[row - first_row], f"no such recording: {path.parent / utterances.paths[row]}")
    for row, before in duplicates.items():
        first = numbers[before - first_row]
        note(numbers[row - first_row], f"duplicate id '{utterances.ids[row]}', first on line {first}")
    if problems:
        more = f" (and {problems - 1} more such lines)" if problems > 1 else ""
        raise ManifestError(f"{first_problem[1]}{more}; fix the manifest or prepare it again")
    if len(utterances) == first_row:
        raise ManifestError(f"{path}: no utterances in it; `asr prepare` makes manifests")


def write_manifest(path: str | os.PathLike, utterances: Iterable[Utterance]) -> Path:
    """Write a manifest atomically; audio paths are made relative to its folder."""
    return write_atomically(path, encode_manifest(utterances, Path(path).parent))


def encode_manifest(utterances: Iterable[Utterance], folder: Path) -> bytes:
    """The contents of a manifest in `folder`."""
    lines = []
    for utterance in utterances:
        record = {
            "id": utterance.id,
            "audio_filepath": relative_path(utterance.audio_filepath, folder),
            "duration": round(utterance.duration, 4),
            "text": utterance.text,
            "speaker": utterance.speaker,
            **({} if utterance.offset is None else {"offset": round(utterance.offset, 4)}),
            **({"byte_range": utterance.byte_range} if utterance.byte_range else {}),
            **utterance.extra,
        }
        lines.append(msgspec.json.encode(record) + b"\n")
    return b"".join(lines)


def relative_path(path: str | os.PathLike, folder: str | os.PathLike) -> str:
    """`path` as seen from `folder`. Both are resolved first: `..` behind a symbolic link leads elsewhere. A URL stays
    one unless it is below the folder; a local path in the manifest of an object store is absolute."""
    above, url = storage.url(folder), storage.url(path)
    if url is not None:
        return url.removeprefix(f"{above}/") if above else url
    if above:
        return os.path.realpath(path)
    return os.path.relpath(os.path.realpath(path), os.path.realpath(folder))


def speaker_digest(name: str) -> str:
    """8 hexadecimal digits that stand for a speaker of the training set in a model file, instead of the name."""
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def split_by_speaker(
    utterances: Sequence[Utterance], shares: dict[str, float], seed: int = 0
) -> dict[str, list[Utterance]]:
    """Split utterances into named parts so that no speaker is in two of them; one speaker's are split by utterance.

    `shares` maps each part but 'train' to its share of the audio; 'train' gets the rest. Each utterance without a
    speaker counts as a speaker of its own. The result depends only on the set of utterances and the seed, not on their
    order. Raises `ManifestError` if there are fewer speakers (or, of one speaker, fewer utterances) than parts.
    """
    by_utterance = single_speaker(utterances) is not None
    groups = defaultdict(list)
    for utterance in utterances:
        is_known = utterance.speaker and not by_utterance
        groups[("speaker", utterance.speaker) if is_known else ("id", utterance.id)].append(utterance)
    keys = sorted(groups)
    parts = [name for name, share in shares.items() if share > 0]
    if len(keys) <= len(parts):
        unit = "utterances" if by_utterance else "speakers"
        raise ManifestError(
            f"{len(keys)} {unit} cannot be split into {', '.join(['train', *parts])} without sharing one; "
            f"leave out --split.dev or --split.test, or add {unit}"
        )
    random.Random(seed).shuffle(keys)
    seconds = {key: sum(utterance.duration for utterance in groups[key]) for key in keys}
    total = sum(seconds.values())
    split = {"train": []}
    for index, name in enumerate(parts):
        chosen, filled, reserve = [], 0.0, len(parts) - index
        # The first always, then more while that brings the share nearer; one is kept for each later part.
        while len(keys) > reserve and (
            not chosen or abs(filled + seconds[keys[-1]] - shares[name] * total) < abs(filled - shares[name] * total)
        ):
            filled += seconds[keys[-1]]
            chosen += groups[keys.pop()]
        split[name] = sorted(chosen, key=lambda utterance: utterance.id)
    split["train"] = sorted((u for key in keys for u in groups[key]), key=lambda utterance: utterance.id)
    return split


def single_speaker(utterances: Iterable[Utterance]) -> str | None:
    """The speaker of all utterances, or None if there are several, or any is unknown."""
    speakers = {utterance.speaker for utterance in utterances}
    return speakers.pop() if len(speakers) == 1 and "" not in speakers else None


def total_hours(utterances: Sequence[Utterance]) -> float:
    """Hours of audio."""
    return sum(memoryview(durations_of(utterances).data)) / 3600


def is_duration_right(claimed: float, actual: float) -> bool:
    """Whether a duration in a manifest is that of its recording, both in seconds, but for rounding."""
    return abs(claimed - actual) <= max(DURATION_TOLERANCE, DURATION_TOLERANCE_SHARE * actual)


def load_utterance(utterance: Utterance, sample_rate: int) -> Audio:
    """The utterance's audio: its part of the recording, or all of it.

    Raises `AudioError` naming a recording that cannot be read or has another duration than the manifest claims.
    """
    source = sound_of(utterance)
    if utterance.offset is not None:
        return load_audio(source, sample_rate, utterance.offset, utterance.duration)
    audio = load_audio(source, sample_rate)
    if not is_duration_right(utterance.duration, audio.duration):
        raise AudioError(
            f"{utterance.audio_filepath}: lasts {audio.duration:.2f} s, but the duration of '{utterance.id}' in its "
            f"manifest is {utterance.duration:.2f} s; `asr prepare table MANIFEST -o DIR` writes one with the true "
            "durations"
        )
    return audio


def read_utterance(utterance: Utterance, sample_rate: int) -> contextlib.AbstractContextManager[AudioPieces]:
    """The utterance's audio in pieces. A whole recording is read to its end, whatever duration the manifest claims."""
    if utterance.offset is None:
        return read_audio(sound_of(utterance), sample_rate)
    return read_audio(sound_of(utterance), sample_rate, utterance.offset, utterance.duration)
