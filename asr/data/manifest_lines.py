"""The lines of a manifest -> columns, many at a time; faulty ones are named."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from asr.data.shards import read_shard
from asr.data.utterances import ByteRange, Utterances
from asr.errors import ManifestError
from asr.utils import storage
from asr.utils.compressed_text import read_blocks

# With what a line has that lacks the field.
FIELDS = dict.fromkeys(("id", "audio_filepath", "duration", "text", "speaker", "offset", "byte_range")) | {
    "speaker": ""
}
LONGEST = 1e7  # seconds: four months. Sums of more, and their samples, overflow elsewhere.

BLOCK = 1 << 20  # bytes of lines decoded at a time
ROWS = 1 << 12  # of a table or shard, likewise

Note = Callable[[int, object], None]  # called with the number of a faulty line and what is wrong
Record = dict[str, Any]
Row = tuple[str, str, float, str, str, float | None, ByteRange | None]  # the values of FIELDS

_decode = msgspec.json.Decoder(Record).decode


def append_lines(path: Path, utterances: Utterances, note: Note) -> Iterator[Sequence[int]]:
    """Append the utterances of a manifest; the numbers of their lines, from 1.

    Raises `ManifestError` for a file that cannot be read.
    """
    if not (storage.is_url(path) or os.path.lexists(path)):
        raise ManifestError(f"{path}: no such file; `asr prepare` makes manifests")
    if path.suffix == ".tar":
        batches = _numbered(read_shard(path))
    elif path.suffix == ".parquet":
        batches = _numbered(_parquet_rows(path))
    else:
        batches = _decoded(read_blocks(path, ManifestError, size=BLOCK), note)
    for numbers, records in batches:
        yield _append(numbers, records, utterances, note)


def _decoded(blocks: Iterable[bytes], note: Note) -> Iterator[tuple[Sequence[int], list[Record]]]:
    """The records of lines that are not blank, with their numbers."""
    number = 1
    for block in blocks:
        lines = block.splitlines()
        numbers: Sequence[int] = range(number, number + len(lines))
        try:
            yield numbers, list(map(_decode, lines))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            yield _decode_each(numbers, lines, note)
        number += len(lines)


def _decode_each(numbers: Sequence[int], lines: Sequence[bytes], note: Note) -> tuple[list[int], list[Record]]:
    """The lines that are records, noting the others."""
    found: dict[int, Record] = {}
    for number, line in zip(numbers, lines, strict=True):
        try:
            if line.strip():
                found[number] = decode_record(line)
        except ValueError as error:
            note(number, error)
    return list(found), list(found.values())


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


def _numbered(rows: Iterator[Record]) -> Iterator[tuple[Sequence[int], list[Record]]]:
    number = 1
    while records := list(itertools.islice(rows, ROWS)):
        yield range(number, number + len(records)), records
        number += len(records)


def _parquet_rows(path: Path) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS):
                yield from ({k: v for k, v in row.items() if v is not None} for row in batch.to_pylist())
    except (pyarrow.ArrowException, OSError) as error:
        raise ManifestError(f"{path}: not a Parquet file that can be read ({error}); write it again") from error


def _append(numbers: Sequence[int], records: Sequence[Record], utterances: Utterances, note: Note) -> Sequence[int]:
    """Append what is right, and note the rest; the numbers of the lines appended. Takes the fields from the records."""
    columns = [[record.pop(field, "" if field == "speaker" else None) for record in records] for field in FIELDS]
    if not _is_plain(*columns):
        good: dict[int, Row] = {}
        for index, row in enumerate(zip(*columns, strict=True)):
            try:
                good[index] = _checked(*row)
            except ValueError as error:
                note(numbers[index], error)
        columns = [list(column) for column in zip(*good.values(), strict=True)] or columns
        numbers, records = [numbers[index] for index in good], [records[index] for index in good]
    if records:
        columns.append([msgspec.json.encode(record).decode() if record else "" for record in records])
        utterances.extend(*columns)
    return numbers


def _is_plain(
    ids: list, paths: list, durations: list, texts: list, speakers: list, offsets: list, byte_ranges: list
) -> bool:
    """Whether `_checked` would leave these columns as they are, as those of nearly all manifests."""
    return (
        all(set(map(type, column)) == {str} for column in (ids, paths, texts, speakers))
        and "" not in ids
        and set(map(type, durations)) <= {float, int}
        and all(0 < duration <= LONGEST for duration in durations)
        and offsets.count(None) == byte_ranges.count(None) == len(paths)
    )


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
