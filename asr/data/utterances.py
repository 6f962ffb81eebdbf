"""Utterances in columns: NumPy arrays and packed strings, about 0.2 kB each, so that millions fit into memory."""

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple, overload

import msgspec
import numpy as np

from asr.utils import storage

BY_UTTERANCE = "utterance"  # value of the key "split_by" in dev and test manifests of a corpus with one speaker
CHUNK = 1 << 13  # values converted at a time


class ByteRange(NamedTuple):
    """Where the sound of an utterance is in a tar shard."""

    start: int  # bytes from the start of the shard
    size: int  # bytes


@dataclass(frozen=True)
class Utterance:
    """A recording, or a part of one, and its transcript."""

    id: str
    audio_filepath: Path  # of a recording in a tar shard: SHARD.tar/NAME
    duration: float  # seconds
    text: str  # the transcript, not normalised
    speaker: str = ""  # empty: unknown
    offset: float | None = None  # seconds into the recording; None: the utterance is the whole recording
    extra: dict[str, Any] = field(default_factory=dict)  # further keys of the line, kept as they were
    byte_range: ByteRange | None = None  # None: the recording is a file of its own

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

    @property
    def file(self) -> Path:
        """The file that holds the sound: the recording, or its shard."""
        return Path(shard_of(str(self.audio_filepath))) if self.byte_range else self.audio_filepath


def shard_of(path: str) -> str:
    """The shard in the path SHARD.tar/NAME. Raises `ValueError` for another path."""
    return path[: path.rindex(".tar/") + len(".tar")]


class Strings(Sequence[str]):
    """Strings end to end in one buffer. They can be appended until `frozen`."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ends: Any = array("I")  # of 4 GB and more, array("q"); then an array of NumPy

    def extend(self, values: Sequence[str]) -> None:
        """Add strings at the end. Lone surrogates, which JSON can name, are kept."""
        joined = "".join(values)
        if joined.isascii():
            data, lengths = joined.encode(), map(len, values)
        else:
            encoded = [value.encode("utf-8", "surrogatepass") for value in values]
            data, lengths = b"".join(encoded), map(len, encoded)
        if self.ends.typecode == "I" and len(self.data) + len(data) >= 1 << 32:
            self.ends = array("q", self.ends)
        self.ends.extend(islice(accumulate(lengths, initial=len(self.data)), 1, None))
        self.data += data

    def frozen(self) -> "Strings":
        """The same, no longer to be appended to."""
        self.ends = np.asarray(self.ends)
        return self

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            first, last, step = index.indices(len(self))
            if step == 1:
                return self._between(first, last)
            return [self[position] for position in range(first, last, step)]
        index = range(len(self))[index]
        start = int(self.ends[index - 1]) if index else 0
        return self.data[start : int(self.ends[index])].decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return self.since(0)

    def since(self, first: int) -> Iterator[str]:
        """The strings from position `first` on; none may be appended meanwhile."""
        for start in range(first, len(self), CHUNK):
            yield from self._between(start, start + CHUNK)

    def _between(self, first: int, last: int) -> list[str]:
        start = int(self.ends[first - 1]) if first else 0
        ends = [end - start for end in self.ends[first:last].tolist()]
        data = self.data[start : start + ends[-1]] if ends else b""
        if data.isascii():
            text = data.decode()
            return [text[begin:end] for begin, end in pairwise([0, *ends])]
        return [data[begin:end].decode("utf-8", "surrogatepass") for begin, end in pairwise([0, *ends])]


class _Rare:
    """A column of numbers, `width` per row, that most manifests lack: it takes memory once a row has them."""

    def __init__(self, typecode: str, width: int, missing: float):
        self._width, self._missing = width, missing
        self.values: Any = array(typecode)

    def extend(self, row: int, rows: Sequence[Sequence | None]) -> None:
        """Add what the rows from `row` on have, all rows before being there or missing."""
        if self.values or rows.count(None) < len(rows):
            self.values.extend([self._missing] * (self._width * row - len(self.values)))
            missing = [self._missing] * self._width
            self.values.extend(value for values in rows for value in values or missing)

    def frozen(self) -> "_Rare":
        """The same, no longer to be appended to."""
        self.values = np.array(self.values).reshape(-1, self._width)
        return self

    def rows(self, first: int, end: int) -> np.ndarray:
        """The numbers of some rows, `(rows, width)`."""
        numbers = np.full((end - first, self._width), self._missing)
        held = np.asarray(self.values).reshape(-1, self._width)[first:end]
        numbers[: len(held)] = held
        return numbers

    def get(self, row: int) -> list | None:
        """The numbers of a row, or None."""
        if row >= len(self.values):
            return None
        values = self.values[row].tolist()
        return None if values[0] != values[0] or values[0] == self._missing else values


class Utterances(Sequence[Utterance]):
    """The utterances of some manifests, in columns. They are appended file by file, then `frozen`."""

    def __init__(self) -> None:
        self.ids, self.paths, self.texts = Strings(), Strings(), Strings()
        self._extras = Strings()  # up to the last utterance that has any
        self.durations: Any = array("d")  # seconds; then a float64 array of NumPy
        self.speakers = {"": 0}  # names, each with its number in this column
        self._speakers: Any = array("i")
        self._offsets, self._byte_ranges = _Rare("d", 1, np.nan), _Rare("q", 3, -1)  # start, size, number of the shard
        self._shards: dict[tuple[int, str], int] = {}  # by folder and path
        self._folders: list[Path] = []
        self._first_rows: list[int] = []  # of each folder

    @classmethod
    def of(cls, utterances: Iterable[Utterance]) -> "Utterances":
        """These utterances in columns."""
        columns = cls()
        columns.begin(Path())
        rows = [
            (
                each.id,
                os.fspath(each.audio_filepath),
                each.duration,
                each.text,
                each.speaker,
                each.offset,
                each.byte_range,
                msgspec.json.encode(each.extra).decode() if each.extra else "",
            )
            for each in utterances
        ]
        if rows:
            columns.extend(*zip(*rows, strict=True))
        return columns.frozen()

    def begin(self, folder: Path) -> None:
        """The paths of the utterances that follow are relative to `folder`."""
        self._folders.append(folder)
        self._first_rows.append(len(self))

    def extend(
        self,
        ids: Sequence[str],
        paths: Sequence[str],
        durations: Sequence[float],
        texts: Sequence[str],
        speakers: Sequence[str],
        offsets: Sequence[float | None] = (),
        byte_ranges: Sequence[ByteRange | None] = (),
        extras: Sequence[str] = (),
    ) -> None:
        """Add utterances. `extras` are their further keys as JSON objects, or empty. What is () no utterance has."""
        row = len(self)
        self.ids.extend(ids)
        self.paths.extend(paths)
        self.texts.extend(texts)
        if any(extras):
            self._extras.extend([""] * (row - len(self._extras)))
            self._extras.extend(extras)
        self._offsets.extend(row, [offset if offset is None else (offset,) for offset in offsets])
        places = zip(byte_ranges, paths, strict=False)
        self._byte_ranges.extend(row, [place and (*place, self._shard(path)) for place, path in places])
        for name in dict.fromkeys(speakers):
            self.speakers.setdefault(name, len(self.speakers))
        self._speakers.extend(map(self.speakers.__getitem__, speakers))
        self.durations.extend(durations)

    def _shard(self, path: str) -> int:
        """The number of the shard in the path SHARD.tar/NAME."""
        return self._shards.setdefault((len(self._folders), shard_of(path)), len(self._shards))

    def frozen(self) -> "Utterances":
        """The same, no longer to be appended to."""
        for column in (self.ids, self.paths, self.texts, self._extras, self._offsets, self._byte_ranges):
            column.frozen()
        self.durations, self._speakers = np.asarray(self.durations), np.asarray(self._speakers)
        self._names = list(self.speakers)
        return self

    def __len__(self) -> int:
        return len(self.durations)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> list[Utterance]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        offset, byte_range, extra = self._offsets.get(row), self._byte_ranges.get(row), self._extras[row : row + 1]
        return Utterance(
            self.ids[row],
            storage.join(self._folders[bisect_right(self._first_rows, row) - 1], self.paths[row]),
            float(self.durations[row]),
            self.texts[row],
            self._names[self._speakers[row]],
            offset[0] if offset else None,
            msgspec.json.decode(extra[0]) if extra and extra[0] else {},
            ByteRange(*byte_range[:2]) if byte_range else None,
        )

    @property
    def shards(self) -> np.ndarray | None:
        """The number of the shard that holds each utterance, `(utterances,)`, -1 for none; None without shards."""
        return self.byte_ranges(0, len(self))[:, 2] if self._shards else None

    @property
    def shard_paths(self) -> list[str]:
        """The shards by number, each relative to the folder of its utterances."""
        return [path for _, path in self._shards]

    def byte_ranges(self, first: int, end: int) -> np.ndarray:
        """Start, size and number of the shard of some utterances, `(utterances, 3)`; -1 for none."""
        return self._byte_ranges.rows(first, end)

    @property
    def synthetic(self) -> bool:
        """Whether any of it is synthetic speech."""
        return b'"synthetic"' in self._extras.data and any(utterance.synthetic for utterance in self)


def durations_of(utterances: Sequence[Utterance]) -> np.ndarray:
    """Seconds of each utterance, `(utterances,)` float64."""
    if isinstance(utterances, Utterances):
        return np.asarray(utterances.durations)
    return np.array([utterance.duration for utterance in utterances], np.float64)


def repeated(strings: Strings, first: int = 0) -> dict[int, int]:
    """Positions from `first` on whose string stands before, each with the first position of that string.

    Hashes are sorted, not the strings themselves: 16 bytes per string.
    """
    found: dict[int, int] = {}
    each = np.fromiter(map(hash, strings.since(first)), np.int64, len(strings) - first)
    ordered = np.sort(each)
    equal = ordered[1:][ordered[1:] == ordered[:-1]]
    firsts: dict[str, int] = {}
    for row in (first + np.flatnonzero(np.isin(each, equal))).tolist() if len(equal) else []:
        before = firsts.setdefault(strings[row], row)
        if before != row:
            found[row] = before
    return found
