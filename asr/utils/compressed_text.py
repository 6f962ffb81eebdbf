"""Reading text files in blocks of whole lines and writing files, with gzip, xz and Zstandard compression."""

import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asr.errors import AsrError
from asr.utils import storage
from asr.utils.files import replacing

PACKED = 1 << 18  # bytes of a Zstandard file read at a time
BLOCK = 1 << 24  # bytes: large enough that the cost per block is negligible
LONGEST_LINE = 1 << 25  # bytes, plus a block: a small compressed file may unpack to gigabytes without a line end


def read_blocks(
    path: Path, error_kind: type[AsrError], advance: Callable[[int], object] | None = None, size: int = BLOCK
) -> Iterator[bytes]:
    """The content of a plain, gzip, xz or Zstandard file (recognised by its first bytes) in blocks that end with a line
    end, made of about `size` bytes.

    A UTF-8 byte order mark is dropped. `advance` is called with the number of compressed bytes read. Raises an error of
    `error_kind` naming a file that cannot be read to its end.
    """
    try:
        with io.BufferedReader(storage.open_binary(path)) as file:
            start = file.read(6)
            file.seek(0)
            stream = file
            if start[:2] == b"\x1f\x8b":
                stream = gzip.GzipFile(fileobj=file)
            elif start == b"\xfd7zXZ\0":
                stream = lzma.LZMAFile(file)  # noqa: SIM115 (`file` is closed instead)
            elif start[:4] == b"\x28\xb5\x2f\xfd":
                stream = _Zstandard(file)
            rest, reported = b"", 0
            while block := stream.read(size):
                if reported == 0:
                    block = _without_mark(block, path, error_kind)
                whole = block.rfind(b"\n") + 1
                if whole:
                    yield rest + block[:whole]
                    rest = block[whole:]
                elif len(rest) > LONGEST_LINE:
                    raise error_kind(f"{path}: a line is longer than {LONGEST_LINE >> 20} MB; is it a text file?")
                else:
                    rest += block
                if advance:
                    advance(file.tell() - reported)
                reported = file.tell()
            if rest:
                yield rest + b"\n"
    except FileNotFoundError as error:
        raise error_kind(f"{path}: no such file") from error
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise error_kind(f"{path}: cut short or damaged ({error}); get the file again") from error
    except OSError as error:
        raise error_kind(f"{path}: {error.strerror or error}") from error


class _Zstandard:
    """The content of a Zstandard file. Unlike the package's own stream, it notices a file that is cut short."""

    def __init__(self, file: io.BufferedIOBase):
        import zstandard

        self._file, self._package = file, zstandard
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._is_inside = False  # a frame has begun and not ended

    def read(self, size: int) -> bytes:
        """More of the content, of any length; nothing at the end. Raises `EOFError` for a file that is cut short."""
        while packed := self._frame.unused_data or self._file.read(PACKED):
            if self._frame.eof:
                self._frame = self._package.ZstdDecompressor().decompressobj()
            try:
                content = self._frame.decompress(packed)
            except self._package.ZstdError as error:
                raise zlib.error(str(error)) from error
            self._is_inside = not self._frame.eof
            if content:
                return content
        if self._is_inside:
            raise EOFError("compressed file ended before the end of its last frame")
        return b""


def _without_mark(block: bytes, path: Path, error_kind: type[AsrError]) -> bytes:
    if block[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise error_kind(f"{path}: UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8")
    return block[3:] if block[:3] == b"\xef\xbb\xbf" else block


@contextmanager
def writing(path: str | os.PathLike) -> Iterator[io.BufferedIOBase]:
    """A stream for a new file, compressed if its name ends in .gz or .xz; the file appears only once complete."""
    with replacing(path) as file:
        suffix = Path(path).suffix
        if suffix == ".gz":
            # Without time and name in the header, so that the same content gives the same bytes.
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as stream:
                yield stream
        elif suffix == ".xz":
            with lzma.LZMAFile(file, "wb", preset=6) as stream:
                yield stream
        else:
            yield file
