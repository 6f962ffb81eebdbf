"""The lines of a manifest -> columns, many at a time; faulty ones are named."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from asr.data.shards import read_shard
from asr.data.utterances import ByteRange, Utterances
from asr.errors import ManifestError
from asr.utils import storage
from asr.utils.compressed_text import read_blocks

FIELDS = ("id", "audio_filepath", "duration", "text", "speaker", "offset", "byte_range")
LONGEST = 1e7  # seconds: four months. Sums of more, and their samples, overflow elsewhere.

BLOCK = 1 << 20  # bytes of lines decoded at a time
ROWS = 1 << 12  # of a table or shard, likewise

Note = Callable[[int, object], None]  # called with the number of a faulty line and what is wrong
Record = dict[str, Any]
Row = tuple[str, str, float, str, str, float | None, ByteRange | None]  # the values of FIELDS


_Id = Annotated[str, msgspec.Meta(min_length=1)]
_Duration = Annotated[float, msgspec.Meta(gt=0, le=LONGEST)]
_Offset = Annotated[float, msgspec.Meta(ge=0, le=LONGEST)]


class _PlainLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A line as nearly all are, in which nothing is to be checked further."""

    id: _Id
    audio_filepath: str
    duration: _Duration
    text: str
    speaker: str = ""
    offset: _Offset | None = None


class _PlainColumns(msgspec.Struct, forbid_unknown_fields=True):
    """The columns of a table of such rows."""

    id: list[_Id]
    audio_filepath: list[str]
    duration: list[_Duration]
    text: list[str]
    speaker: list[str | None] = []
    offset: list[_Offset | None] = []


_decode_plain = msgspec.json.Decoder(_PlainLine).decode


def append_lines(path: Path, utterances: Utterances, note: Note) -> Iterator[Sequence[int]]:
    """Append the utterances of a manifest; the numbers of their lines, from 1.

    Raises `ManifestError` for a file that cannot be read.
    """
    if not (storage.is_url(path) or os.path.lexists(path)):
        raise ManifestError(f"{path}: no such file; `asr prepare` makes manifests")
    if path.suffix == ".tar":
        rows = enumerate(read_shard(path), start=1)
        while batch := list(itertools.islice(rows, ROWS)):
            yield _append(batch, utterances, note)
        return
    first = 1
    if path.suffix == ".parquet":
        for table in _tables(path):
            if _append_columns(table.to_pydict(), utterances):
                yield range(first, first + len(table))
            else:
                yield _append(enumerate(map(_without_nulls, table.to_pylist()), first), utterances, note)
            first += len(table)
        return
    for block in read_blocks(path, ManifestError, size=BLOCK):
        lines = block.splitlines()
        if _append_plain(lines, utterances):
            yield range(first, first + len(lines))
        else:
            yield _append(_decoded(lines, first, note), utterances, note)
        first += len(lines)


def _append_plain(lines: Sequence[bytes], utterances: Utterances) -> bool:
    """Append lines if all of them are plain; whether they are."""
    try:
        rows = list(map(_decode_plain, lines))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    utterances.extend(
        [row.id for row in rows],
        [row.audio_filepath for row in rows],
        [row.duration for row in rows],
        [row.text for row in rows],
        [row.speaker for row in rows],
        [row.offset for row in rows],
    )
    return True


def _decoded(lines: Sequence[bytes], first: int, note: Note) -> Iterator[tuple[int, Record]]:
    """The lines that are not blank, with their numbers, of which `first` is the first."""
    for number, line in enumerate(lines, start=first):
        try:
            if line.strip():
                yield number, decode_record(line)
        except ValueError as error:
            note(number, error)


def decode_record(line: str | bytes) -> Record:
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


def _tables(path: Path) -> Iterator[Any]:
    """The rows of a Parquet file, some at a time."""
    import pyarrow
    import pyarrow.parquet

    try:
        # What is read ahead, which is the default, stays in memory until the file is closed.
        with storage.open_binary(path) as stream, pyarrow.parquet.ParquetFile(stream, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=ROWS)
    except (pyarrow.ArrowException, OSError) as error:
        raise ManifestError(f"{path}: not a Parquet file that can be read ({error}); write it again") from error


def _append_columns(columns: Record, utterances: Utterances) -> bool:
    """Append the rows of a table if all of them are plain; whether they are."""
    try:
        plain = msgspec.convert(columns, _PlainColumns)
    except msgspec.ValidationError:
        return False
    speakers = [speaker or "" for speaker in plain.speaker] or [""] * len(plain.id)
    utterances.extend(plain.id, plain.audio_filepath, plain.duration, plain.text, speakers, plain.offset)
    return True


def _without_nulls(row: Record) -> Record:
    return {key: value for key, value in row.items() if value is not None}


def _append(records: Iterable[tuple[int, Record]], utterances: Utterances, note: Note) -> list[int]:
    """Append the records that are right, given with their numbers, and note the others; the numbers of the former."""
    numbers, rows = [], []
    for number, record in records:
        try:
            row = _checked(*[record.pop(field, None) for field in FIELDS])
        except ValueError as error:
            note(number, error)
        else:
            numbers.append(number)
            rows.append((*row, msgspec.json.encode(record).decode() if record else ""))
    if rows:
        utterances.extend(*zip(*rows, strict=True))
    return numbers


def _checked(id: Any, path: Any, duration: Any, text: Any, speaker: Any, offset: Any, byte_range: Any) -> Row:
    """The utterance of a line; raises `ValueError` for a field that is missing or wrong."""
    if type(path) is not str:
        raise ValueError("'audio_filepath' is missing or of the wrong type")
    if type(duration) is not float and type(duration) is not int:
        raise ValueError("'duration' is missing or of the wrong type")
    if type(text) is not str:
        raise ValueError("'text' is missing or of the wrong type")
    if not 0 < duration <= LONGEST:
        raise ValueError(f"'duration' is {duration}, not a positive number of seconds up to {LONGEST:.0f}")
    if offset is not None and (type(offset) not in (int, float) or not 0 <= offset <= LONGEST):
        raise ValueError(f"'offset' is {offset!r}, not a number of seconds up to {LONGEST:.0f}")
    return (
        utterance_id(id, path, offset),
        path,
        duration,
        text,
        speaker_name(speaker),
        offset,
        _byte_range(byte_range, path),
    )


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


def _byte_range(value: Any, path: str) -> ByteRange | None:
    if value is None:
        return None
    is_range = isinstance(value, list) and len(value) == 2 and all(type(each) is int and each > 0 for each in value)
    if not is_range:
        raise ValueError(f"'byte_range' is {value!r}, not [start, size] in bytes")
    if ".tar/" not in path:
        raise ValueError(f"'byte_range' is for a recording SHARD.tar/NAME, but 'audio_filepath' is {path!r}")
    return ByteRange(*value)
