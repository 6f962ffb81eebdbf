"""Manifests: JSON Lines with NeMo's field names, one utterance per line; audio paths are relative to the manifest."""

import codecs
import contextlib
import hashlib
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from asr.audio.io import Audio, AudioPieces, load_audio, read_audio
from asr.errors import AudioError, ManifestError
from asr.utils.files import write_atomically

FIELDS = ("id", "audio_filepath", "duration", "text", "speaker", "offset")
BY_UTTERANCE = "utterance"  # value of the key "split_by" in dev and test manifests of a corpus with one speaker
LONGEST = 1e7  # seconds: four months. Sums of more, and their samples, overflow elsewhere.

# A recording may differ from the duration in the manifest by the larger of the two: durations are rounded, and MP3
# decoders disagree about padding.
DURATION_TOLERANCE, DURATION_TOLERANCE_SHARE = 0.1, 0.005  # seconds, and share of the recording


@dataclass(frozen=True)
class Utterance:
    """A recording, or a part of one, and its transcript."""

    id: str
    audio_filepath: Path
    duration: float  # seconds
    text: str  # the transcript, not normalised
    speaker: str = ""  # empty: unknown
    offset: float | None = None  # seconds into the recording; None: the utterance is the whole recording
    extra: dict[str, Any] = field(default_factory=dict)  # further keys of the line, kept as they were

    @property
    def synthetic(self) -> bool:
        """Whether it is synthetic speech, by the line's key of that name (true or false as JSON or, from CSV, text)."""
        return str(self.extra.get("synthetic") or "").lower() not in ("", "0", "false", "no")

    @property
    def speaker_in_training(self) -> bool:
        """Whether its speaker is in the training set too: `asr prepare` has split the corpus by utterance."""
        return self.extra.get("split_by") == BY_UTTERANCE

    def marked_by_utterance(self) -> "Utterance":
        """The same utterance, marked as of a part whose speakers may be in train too."""
        return replace(self, extra={**self.extra, "split_by": BY_UTTERANCE})


def read_manifest(path: str | os.PathLike, check_audio: bool = False) -> list[Utterance]:
    """Read a manifest; audio paths are resolved against its folder.

    Raises `ManifestError` naming the file, the first faulty line and the number of others: broken JSON, a missing or
    mistyped field, a duplicate id and, with `check_audio`, a missing recording.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
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
        raise ManifestError(f"{problems[0]}{more}; fix the manifest or prepare it again")
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
            **utterance.extra,
        }
        lines.append(msgspec.json.encode(record) + b"\n")
    return b"".join(lines)


def relative_path(path: str | os.PathLike, folder: str | os.PathLike) -> str:
    """`path` as seen from `folder`. Both are resolved first: `..` behind a symbolic link leads elsewhere."""
    return os.path.relpath(os.path.realpath(path), os.path.realpath(folder))


def utterance_id(id: Any, audio_filepath: str, offset: float | None) -> str:
    """`id` as text or, as NeMo's own manifests have none, the path with the offset of a part."""
    if id is None or id == "":
        return audio_filepath + (f"@{offset:g}" if offset else "")
    return str(id)


def speaker_name(value: Any) -> str:
    """A speaker from JSON as text, empty if unknown (null or an empty string). A number is a name too: 0 is speaker 0.

    Raises `ValueError` for anything else.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"'speaker' is {value!r}, not a name or a number")
    return str(value)


def speaker_digest(name: str) -> str:
    """8 hexadecimal digits by which a model file knows a speaker of its training set, without the name."""
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
            f"leave out --split or add {unit}"
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


def decode_record(line: str | bytes) -> dict[str, Any]:
    """A line of JSON Lines; raises `ValueError` unless it is one JSON object."""
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("not an utterance: JSON nested too deeply") from error
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
        speaker=speaker_name(record.get("speaker")),
        offset=None if offset is None else float(offset),
        extra={key: value for key, value in record.items() if key not in FIELDS},
    )


def total_hours(utterances: Iterable[Utterance]) -> float:
    """Hours of audio."""
    return sum(utterance.duration for utterance in utterances) / 3600


def is_duration_right(claimed: float, actual: float) -> bool:
    """Whether a duration in a manifest is that of its recording, both in seconds, but for rounding."""
    return abs(claimed - actual) <= max(DURATION_TOLERANCE, DURATION_TOLERANCE_SHARE * actual)


def load_utterance(utterance: Utterance, sample_rate: int) -> Audio:
    """The utterance's audio: its part of the recording, or all of it.

    Raises `AudioError` naming a recording that cannot be read or has another duration than the manifest claims.
    """
    if utterance.offset is not None:
        return load_audio(utterance.audio_filepath, sample_rate, utterance.offset, utterance.duration)
    audio = load_audio(utterance.audio_filepath, sample_rate)
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
        return read_audio(utterance.audio_filepath, sample_rate)
    return read_audio(utterance.audio_filepath, sample_rate, utterance.offset, utterance.duration)
