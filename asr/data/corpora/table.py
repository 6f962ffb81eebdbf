"""A table of recordings and texts: JSON Lines (as NeMo's manifests), CSV or TSV with a header row.

    audio_filepath, path, audio or file    relative to the table; the first of these that exists
    text, sentence or transcript           the transcript
    speaker, speaker_id or client_id       optional: a name or a number
    id, offset, duration                   optional; offset and duration in seconds

All other columns are kept. In CSV, values may be quoted; in TSV, quotation marks are plain text.
"""

import csv
import functools
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from asr.data.corpora.base import Candidate
from asr.data.corpora.reading import numbered_lines, read_text
from asr.data.manifest_lines import FIELDS, decode_record, speaker_name, utterance_id
from asr.errors import ManifestError
from asr.utils import storage

AUDIO = ("audio_filepath", "path", "audio", "file")
TEXT = ("text", "sentence", "transcript")
SPEAKER = ("speaker", "speaker_id", "client_id")
DELIMITERS = ",;|\t"

# Its number, its text, and its record, whose function raises `ValueError` for a broken one.
Row = tuple[int, str, Callable[[], dict[str, Any]]]


def read(source: Path) -> Iterator[Candidate]:
    """Candidates of one subset, named like the file; a broken line is a candidate with a problem.

    With an offset an utterance is a part of its recording, `duration` long or to the end. Without one it is the whole
    recording, whose duration is claimed by the table. Raises `ManifestError` for a file that is not such a table.
    """
    kinds = {".jsonl": _json_lines, ".json": _json_lines, ".csv": _delimited, ".tsv": _delimited}
    if source.suffix.lower() not in kinds:
        raise ManifestError(f"{source}: not a table; give a file that ends in {', '.join(kinds)}")
    for number, text, record in kinds[source.suffix.lower()](source):
        try:
            candidate = to_candidate(record(), source)
        except ValueError as error:
            candidate = Candidate(f"{source.name}:{number}", source, text, subset=source.stem, problem=str(error))
        yield candidate


def _json_lines(source: Path) -> Iterator[Row]:
    for number, line in numbered_lines(source):
        yield number, line, functools.partial(decode_record, line)


def _delimited(source: Path) -> Iterator[Row]:
    text = read_text(source)
    first_line = text.partition("\n")[0]
    delimiter = "\t" if source.suffix.lower() == ".tsv" else max(DELIMITERS, key=first_line.count)
    lines = io.StringIO(text, newline="")
    if delimiter == "\t":
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    else:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows = _numbered_rows(reader, source)
    _, header = next(rows, (0, []))
    for names in (AUDIO, TEXT):
        if not set(names) & set(header):
            raise ManifestError(f"{source}: no column {', '.join(names[:-1])} or {names[-1]} in its header row")
    for number, row in rows:
        yield number, " ".join(row), functools.partial(_row_record, header, row)


def _numbered_rows(reader: Any, source: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, with the number of the line they end on."""
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise ManifestError(f"{source}:{reader.line_num}: {error}; fix the quotation marks") from error


def _row_record(header: list[str], row: list[str]) -> dict[str, Any]:
    if len(row) != len(header):
        raise ValueError(
            f"broken row: {len(row)} fields where the header has {len(header)}; quote values that hold the delimiter"
        )
    # An empty text is a transcript without words, and checked as such; any other empty value is absent.
    return {name: value for name, value in zip(header, row, strict=True) if value or name in TEXT}


def to_candidate(record: dict[str, Any], source: Path) -> Candidate:
    """A row as a candidate. Raises `ValueError` for one that cannot be used."""
    audio_key, text_key = _first(record, AUDIO), _first(record, TEXT)
    path, text = record[audio_key], record[text_key]
    if "\0" in path:
        raise ValueError(f"'{audio_key}' is not a path: it contains a null character")
    offset, duration = _seconds(record, "offset"), _seconds(record, "duration")
    speaker_key = next((name for name in SPEAKER if record.get(name) not in (None, "")), "speaker")
    return Candidate(
        id=utterance_id(record.get("id"), path, offset),
        audio=storage.join(source.parent, path),
        text=text,
        speaker=speaker_name(record.get(speaker_key)),
        subset=source.stem,
        offset=offset or 0.0,
        duration=None if offset is None else duration,
        claimed_duration=duration if offset is None else None,
        extra={k: value for k, value in record.items() if k not in {*FIELDS, audio_key, text_key, speaker_key}},
    )


def _first(record: dict[str, Any], names: tuple[str, ...]) -> str:
    """The first of the names that the record has; its value must be text."""
    for name in names:
        if isinstance(record.get(name), str):
            return name
    raise ValueError(f"no {names[0]}: {', '.join(names)} are missing or not text")


def _seconds(record: dict[str, Any], name: str) -> float | None:
    value = record.get(name)
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if isinstance(value, bool) or not 0 <= seconds < math.inf:
        raise ValueError(f"no number of seconds: '{name}' is {value!r}")
    return seconds
