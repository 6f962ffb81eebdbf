"""Manifests: one utterance a line, JSON, in NeMo's field names; audio paths are relative to the manifest."""

import contextlib
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from asr.audio.io import Audio, AudioPieces, load_audio, read_audio
from asr.errors import ManifestError
from asr.utils.files import write_atomically

FIELDS = ("id", "audio_filepath", "duration", "text", "speaker", "offset")
LONGEST = 1e7  # seconds: four months. Sums of more, and their samples, overflow elsewhere.


@dataclass(frozen=True)
class Utterance:
    """A recording, or a part of one, and what was said in it."""

    id: str
    audio_filepath: Path
    duration: float  # seconds
    text: str  # what was said, not normalised
    speaker: str = ""  # empty: not known
    offset: float | None = None  # seconds into the recording; None: all of it is the utterance
    extra: dict[str, Any] = field(default_factory=dict)  # further keys of the line, kept as they were

    @property
    def synthetic(self) -> bool:
        """Whether a machine spoke it, as the line's key of that name says."""
        return bool(self.extra.get("synthetic"))


def read_manifest(path: str | os.PathLike, check_audio: bool = False) -> list[Utterance]:
    """Read a manifest; audio paths come back resolved against its folder.

    Raises `ManifestError` naming the file, the first faulty line and how many more there are: broken JSON, a
    missing or mistyped field, an id that occurs twice and, with `check_audio`, a recording that is not there.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise ManifestError(f"{path}: {reason}; `asr prepare` makes manifests") from error
    utterances, problems, first_line = [], [], {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            utterance = _parse(line, path.parent)
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
            continue
        if utterance.id in first_line:
            problems.append(f"{path}:{number}: duplicate id '{utterance.id}', first on line {first_line[utterance.id]}")
        elif check_audio and not os.path.isfile(utterance.audio_filepath):
            problems.append(f"{path}:{number}: no such recording: {utterance.audio_filepath}")
        first_line.setdefault(utterance.id, number)
        utterances.append(utterance)
    if problems:
        more = f" (and {len(problems) - 1} more such lines)" if len(problems) > 1 else ""
        raise ManifestError(f"{problems[0]}{more}; mend the manifest or prepare it again")
    if not utterances:
        raise ManifestError(f"{path}: no utterances in it; `asr prepare` makes manifests")
    return utterances


def read_manifests(paths: Sequence[str | os.PathLike], check_audio: bool = False) -> list[Utterance]:
    """The utterances of several manifests; an id that two of them share is a `ManifestError`."""
    utterances = [utterance for path in paths for utterance in read_manifest(path, check_audio)]
    id, count = Counter(utterance.id for utterance in utterances).most_common(1)[0]
    if count > 1:
        raise ManifestError(f"{', '.join(map(str, paths))}: id '{id}' is in more than one of them")
    return utterances


def write_manifest(path: str | os.PathLike, utterances: Iterable[Utterance]) -> Path:
    """Write a manifest whole or not at all; audio paths are made relative to its folder."""
    return write_atomically(path, encode_manifest(utterances, Path(path).parent))


def encode_manifest(utterances: Iterable[Utterance], folder: Path) -> bytes:
    """The contents of a manifest that is to lie in `folder`."""
    lines = []
    for utterance in utterances:
        record = {
            "id": utterance.id,
            "audio_filepath": relative_path(utterance.audio_filepath, folder),
            "duration": round(utterance.duration, 4),
            "text": utterance.text,
            "speaker": utterance.speaker,
            **({} if utterance.offset is None else {"offset": round(utterance.offset, 4)}),
            **utterance.extra,
        }
        lines.append(msgspec.json.encode(record) + b"\n")
    return b"".join(lines)


def relative_path(path: str | os.PathLike, folder: str | os.PathLike) -> str:
    """`path` as seen from `folder`. Both are resolved first: `..` behind a symbolic link leads elsewhere."""
    return os.path.relpath(os.path.realpath(path), os.path.realpath(folder))


def utterance_id(id: Any, audio_filepath: str, offset: float | None) -> str:
    """`id` as text. NeMo's own manifests have none: the path, with the offset of a part, names the utterance then."""
    if id is None or id == "":
        return audio_filepath + (f"@{offset:g}" if offset else "")
    return str(id)


def split_by_speaker(
    utterances: Sequence[Utterance], shares: dict[str, float], seed: int = 0
) -> dict[str, list[Utterance]]:
    """Divide utterances into named parts so that no speaker is in two of them.

    `shares` gives each part but 'train' its share of the audio; 'train' gets the rest. An utterance without a
    speaker counts as a speaker of its own. Deterministic in the set of utterances and the seed: the order in
    which they come does not matter. Raises `ManifestError` when there are fewer speakers than parts.
    """
    of_speaker = defaultdict(list)
    for utterance in utterances:
        of_speaker[("speaker", utterance.speaker) if utterance.speaker else ("id", utterance.id)].append(utterance)
    speakers = sorted(of_speaker)
    parts = [name for name, share in shares.items() if share > 0]
    if len(speakers) <= len(parts):
        raise ManifestError(
            f"{len(speakers)} speakers cannot be split into {', '.join(['train', *parts])} without sharing one; "
            "leave out --split or add speakers"
        )
    random.Random(seed).shuffle(speakers)
    seconds = {speaker: sum(utterance.duration for utterance in of_speaker[speaker]) for speaker in speakers}
    total = sum(seconds.values())
    split = {"train": []}
    for index, name in enumerate(parts):
        chosen, heard, reserve = [], 0.0, len(parts) - index
        # The first always, then more while that brings the share nearer; each later part keeps one speaker.
        while len(speakers) > reserve and (
            not chosen or abs(heard + seconds[speakers[-1]] - shares[name] * total) < abs(heard - shares[name] * total)
        ):
            heard += seconds[speakers[-1]]
            chosen += of_speaker[speakers.pop()]
        split[name] = sorted(chosen, key=lambda utterance: utterance.id)
    split["train"] = sorted(
        (u for speaker in speakers for u in of_speaker[speaker]), key=lambda utterance: utterance.id
    )
    return split


def decode_record(line: str | bytes) -> dict[str, Any]:
    """A line of JSON Lines; `ValueError` when it is not one JSON object."""
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("not JSON of an utterance: nested too deeply") from error
    if not isinstance(record, dict):
        raise ValueError("not a JSON object; each line holds one utterance")
    return record


def _parse(line: bytes, folder: Path) -> Utterance:
    record = decode_record(line)
    for name, kind in (("audio_filepath", str), ("duration", (int, float)), ("text", str)):
        if not isinstance(record.get(name), kind) or isinstance(record[name], bool):
            raise ValueError(f"'{name}' is missing or of the wrong type")
    if not 0 < record["duration"] <= LONGEST:
        raise ValueError(f"'duration' is {record['duration']}, not a positive number of seconds up to {LONGEST:.0f}")
    offset = record.get("offset")
    if offset is not None and (
        not isinstance(offset, (int, float)) or isinstance(offset, bool) or not 0 <= offset <= LONGEST
    ):
        raise ValueError(f"'offset' is {offset!r}, not a number of seconds up to {LONGEST:.0f}")
    return Utterance(
        id=utterance_id(record.get("id"), record["audio_filepath"], offset),
        audio_filepath=folder / record["audio_filepath"],
        duration=float(record["duration"]),
        text=record["text"],
        speaker=str(record.get("speaker") or ""),
        offset=None if offset is None else float(offset),
        extra={key: value for key, value in record.items() if key not in FIELDS},
    )


def total_hours(utterances: Iterable[Utterance]) -> float:
    """Hours of audio."""
    return sum(utterance.duration for utterance in utterances) / 3600


def load_utterance(utterance: Utterance, sample_rate: int) -> Audio:
    """The utterance's audio: its part of the recording, or all of it."""
    if utterance.offset is None:
        return load_audio(utterance.audio_filepath, sample_rate)
    return load_audio(utterance.audio_filepath, sample_rate, utterance.offset, utterance.duration)


def read_utterance(utterance: Utterance, sample_rate: int) -> contextlib.AbstractContextManager[AudioPieces]:
    """The same in pieces."""
    if utterance.offset is None:
        return read_audio(utterance.audio_filepath, sample_rate)
    return read_audio(utterance.audio_filepath, sample_rate, utterance.offset, utterance.duration)
