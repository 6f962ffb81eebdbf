"""A file of one or several recordings, read by position, and each recording as a stream of its own."""

import io
import os
import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import BinaryIO

from asr.utils.object_store import ObjectReader

BLOCK = 1 << 20  # bytes searched at a time


@dataclass(frozen=True)
class File:
    """Random access to an open file. Files are equal if they are the same one, unchanged."""

    size: int
    identity: tuple  # device, inode, time of change; of an object its URL, size and checksum
    descriptor: int | None = field(default=None, compare=False)  # of a local file
    object: ObjectReader | None = field(default=None, compare=False)

    @classmethod
    def of(cls, stream: io.RawIOBase | BinaryIO) -> "File":
        """The file of a stream that `asr.utils.storage.open_binary` opened."""
        if isinstance(stream, ObjectReader):
            return cls(stream.size, stream.identity, object=stream)
        found = os.fstat(stream.fileno())
        return cls(found.st_size, (found.st_dev, found.st_ino, found.st_mtime_ns), stream.fileno())

    @property
    def failure(self) -> OSError | None:
        """Why an object could not be read, if it could not: decoders take that for the end."""
        return self.object.failure if self.object else None

    def read(self, start: int, count: int) -> bytes:
        """Up to `count` bytes from `start`; fewer at the end of the file. Raises `OSError`."""
        if start >= self.size:
            return b""
        return self.object.read_at(start, count) if self.object else os.pread(self.descriptor or 0, count, start)

    def find(self, pattern: bytes, start: int) -> int:
        """The first place of `pattern` at or after `start`, or -1."""
        for position in range(start, self.size, BLOCK):
            found = self.read(position, BLOCK + len(pattern) - 1).find(pattern)
            if found >= 0:
                return position + found
        return -1

    def unpack(self, form: str, start: int) -> tuple:
        """Fields at `start`; raises `EOFError` at the end of the file."""
        data = self.read(start, struct.calcsize(form))
        if len(data) < struct.calcsize(form):
            raise EOFError
        return struct.unpack(form, data)


@dataclass(frozen=True)
class Recording:
    """One recording of a file: bytes `start` to `end`, with some replaced.

    `patches` are (position, new bytes) in order; `head` comes in front.
    """

    start: int
    end: int
    patches: tuple[tuple[int, bytes], ...] = ()
    head: bytes = b""

    def is_whole(self, file: File) -> bool:
        """Whether this is the file itself, unchanged."""
        return not self.patches and not self.head and (self.start, self.end) == (0, file.size)


class RecordingStream(io.RawIOBase):
    """A `Recording` as a seekable binary stream."""

    def __init__(self, file: File, recording: Recording):
        self._file, self._position = file, 0
        self._parts: list[bytes | range] = [recording.head]
        position = recording.start
        for place, data in recording.patches:
            self._parts += [range(position, place), data]
            position = place + len(data)
        self._parts.append(range(position, recording.end))
        self._starts = [0, *accumulate(map(len, self._parts))]

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of every stream."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._starts[-1]}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer) -> int:
        """Fill the buffer, unless the end or a disk error comes first: to libsndfile less is the end."""
        done = 0
        while done < len(buffer) and (data := self._next(len(buffer) - done)):
            buffer[done : done + len(data)] = data
            done += len(data)
            self._position += len(data)
        return done

    def _next(self, count: int) -> bytes:
        """Up to `count` bytes of the part at the present position."""
        index = bisect_right(self._starts, self._position) - 1
        if index >= len(self._parts):
            return b""
        part, offset = self._parts[index], self._position - self._starts[index]
        count = min(count, len(part) - offset)
        try:
            return part[offset : offset + count] if isinstance(part, bytes) else self._file.read(part[offset], count)
        except OSError:
            return b""
