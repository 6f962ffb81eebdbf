"""Tar shards of other programs.

train-{0000..0999}.tar, or a folder of .tar files      WebDataset: per utterance a sound, KEY.flac or of another type,
                                                       and KEY.txt, or KEY.json with `text` and perhaps `speaker`
a folder of cuts.*.jsonl.gz and recording.*.tar        Lhotse Shar (https://lhotse.readthedocs.io)

The recordings stay in their shards: the manifest names their bytes. A subset is named like its shards, less the number.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import msgspec

from asr.data.corpora.base import Candidate
from asr.data.corpora.reading import check_layout, not_in_layout
from asr.data.manifest_lines import FIELDS, speaker_name
from asr.data.shards import expand, read_shard
from asr.data.utterances import ByteRange
from asr.errors import ManifestError
from asr.utils import storage
from asr.utils.compressed_text import read_blocks


class _Supervision(msgspec.Struct):
    id: str
    text: str | None = None
    speaker: str | int | None = None
    start: float = 0.0
    duration: float | None = None


class _Cut(msgspec.Struct):
    id: str
    duration: float
    supervisions: list[_Supervision] = []


def read(source: Path) -> Iterator[Candidate]:
    """Candidates of the subsets. Raises `ManifestError` for a source without shards, or one that cannot be read."""
    if source.suffix != ".tar":
        check_layout(source, "shards")
    files = expand(source) if source.suffix == ".tar" else storage.files_in(source)
    cuts = [path for path in files if fnmatch(path.name, "cuts.*.jsonl*")]
    for path in cuts:
        yield from _shar(path)
    if cuts:
        return
    shards = [path for path in files if path.suffix == ".tar"]
    if not shards:
        raise not_in_layout(source, "shards", "*.tar")
    for path in shards:
        for line in read_shard(path):
            yield _candidate(line, path)


def _candidate(line: dict[str, Any], path: Path) -> Candidate:
    """The candidate of a line of `read_shard`."""
    id, text, subset = str(line["id"]), line.get("text"), re.sub(r"[-_.]?\d+$", "", path.stem) or "all"
    try:
        speaker, problem = speaker_name(line.get("speaker")), ""
    except ValueError as error:
        speaker, problem = "", str(error)
    if not isinstance(text, str):
        text, problem = "", "no transcript: neither KEY.txt nor a KEY.json with text"
    if "byte_range" not in line:
        return Candidate(id, path, text, speaker, subset, problem="no sound beside the transcript")
    return Candidate(
        id,
        storage.join(path.parent, line["audio_filepath"]),
        text,
        speaker,
        subset,
        claimed_duration=line.get("duration"),
        extra={key: value for key, value in line.items() if key not in FIELDS},
        problem=problem,
        byte_range=ByteRange(*line["byte_range"]),
    )


def _shar(path: Path) -> Iterator[Candidate]:
    """A candidate per supervision of the cuts of a Lhotse shard."""
    shard = path.with_name(f"recording.{path.name.split('.')[1]}.tar")
    sounds = {_name(line): line for line in read_shard(shard) if "byte_range" in line}
    for block in read_blocks(path, ManifestError):
        for text in block.splitlines():
            try:
                cut = msgspec.json.decode(text, type=_Cut)
            except msgspec.DecodeError as error:
                raise ManifestError(f"{path}: not cuts of Lhotse ({error}); write them again") from error
            for supervision in cut.supervisions:
                yield _supervised(cut, supervision, sounds.get(cut.id), shard)


def _name(line: dict[str, Any]) -> str:
    """The id of a cut: the name of its sound."""
    return line["audio_filepath"].partition("/")[2].rpartition(".")[0]


def _supervised(cut: _Cut, supervision: _Supervision, sound: dict[str, Any] | None, shard: Path) -> Candidate:
    text, speaker = supervision.text or "", speaker_name(supervision.speaker)
    if sound is None:
        return Candidate(supervision.id, shard, text, speaker, problem=f"no sound: {shard.name} lacks it")
    is_whole = supervision.start == 0 and supervision.duration in (None, cut.duration)
    return Candidate(
        supervision.id,
        storage.join(shard.parent, sound["audio_filepath"]),
        text,
        speaker,
        offset=0.0 if is_whole else supervision.start,
        duration=None if is_whole else supervision.duration,
        claimed_duration=cut.duration,
        byte_range=ByteRange(*sound["byte_range"]),
    )
