"""Arrays in a file that is memory-mapped: safetensors, whose metadata holds a checksum of all that it describes."""

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asr.utils.files import replacing

ALIGNMENT = 64  # bytes: a cache line
_TYPES = {"F64": "<f8", "I64": "<i8", "F32": "<f4", "I32": "<i4", "U8": "u1"}
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}


def write_array_file(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: dict[str, Any]) -> None:
    """Write arrays of one dimension with metadata, JSON values. Raises `OSError` naming the file."""
    # The largest types first, so that all of them are aligned.
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))
    table, place = {}, 0
    for name, array in arrays.items():
        kind, end = _NAMES[array.dtype], place + array.nbytes
        table[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [place, end]}
        place = end
    checksum = _checksum_of(table, metadata)
    for array in arrays.values():
        checksum = zlib.crc32(array.data, checksum)
    described = {"asr": json.dumps(metadata), "crc32": str(checksum)}
    write_mapped(path, table | {"__metadata__": described}, arrays)


def write_mapped(path: str | os.PathLike, header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file from its header and the arrays, in order, so that they are aligned when mapped."""
    encoded = json.dumps(header).encode()
    encoded += b" " * (-(8 + len(encoded)) % ALIGNMENT)
    with replacing(path) as stream:
        stream.write(len(encoded).to_bytes(8, "little") + encoded)
        for array in arrays.values():
            stream.write(array.data)


def read_header(path: str | os.PathLike) -> tuple[bytes, int]:
    """The header of a safetensors file, empty if its length cannot be true, and where the arrays begin."""
    with Path(path).open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        return stream.read(length) if length < 2**24 else b"", 8 + length


def read_array_file(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays, read-only, and the metadata. Raises `ValueError` for a damaged file, `OSError` for a missing one."""
    header, start = read_header(path)
    try:
        table = json.loads(header)
        described = table.pop("__metadata__")
        metadata, expected = json.loads(described["asr"]), int(described["crc32"])
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: damaged") from error
    if file_checksum(path, start, _checksum_of(table, metadata)) != expected:
        raise ValueError(f"{path}: damaged")
    data = np.memmap(path, np.uint8, "r", start).view(np.ndarray)
    arrays = {}
    for name, entry in table.items():
        first, last = entry["data_offsets"]
        arrays[name] = data[first:last].view(_TYPES[entry["dtype"]])
    return arrays, metadata


def file_checksum(path: str | os.PathLike, start: int, checksum: int = 0) -> int:
    """CRC-32 of a file from a byte on; reading it is faster than accessing mapped pages, and leaves them unloaded."""
    buffer = memoryview(bytearray(1 << 20))
    with Path(path).open("rb", buffering=0) as stream:
        stream.seek(start)
        while size := stream.readinto(buffer):
            checksum = zlib.crc32(buffer[:size], checksum)
    return checksum


def _checksum_of(table: dict[str, Any], metadata: dict[str, Any]) -> int:
    """CRC-32 of the description: a wrong length or type would lead compiled code outside an array."""
    return zlib.crc32(json.dumps([table, metadata]).encode())
