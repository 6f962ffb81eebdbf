"""ONNX files of this program: the network as a graph, and in its metadata all else that recognition needs.

The last bytes are a checksum of those before them, itself a metadata entry, so that the file is plain ONNX to other
programs. ONNX Runtime can crash on a damaged file, so that one must not reach it.
"""

import json
import os
import zlib
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from asr.errors import ModelFileError
from asr.utils.files import write_atomically

KEY, CHECKSUM_KEY = "asr", "asr_crc32"


def write_onnx(path: str | os.PathLike, graph: onnx.ModelProto, metadata: dict[str, Any]) -> None:
    """Write a graph with this program's metadata."""
    body = graph.SerializeToString() + _entry(KEY, json.dumps(metadata, ensure_ascii=False))
    write_atomically(path, body + _checksum(body))


def read_onnx(path: str | os.PathLike) -> tuple[bytes, dict[str, Any]]:
    """The whole of a file that `write_onnx` wrote, and its metadata.

    Raises `ModelFileError` naming the file when it is missing, damaged or of another program.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror}; `asr export` makes ONNX files") from error
    length = len(_checksum(b""))
    if data[-length:] != _checksum(data[:-length]):
        raise ModelFileError(f"{path}: cut short, damaged, or not made by `asr export`; copy it or export it again")
    try:
        entries = {entry.key: entry.value for entry in onnx.ModelProto.FromString(data).metadata_props}
        metadata = json.loads(entries[KEY])
        metadata["format_version"] = int(metadata["format_version"])
    except (DecodeError, KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ModelFileError(
            f"{path}: an ONNX file, but not a model of this program; `asr export` makes them"
        ) from error
    return data, metadata


def _checksum(body: bytes) -> bytes:
    return _entry(CHECKSUM_KEY, f"{zlib.crc32(body):08x}")


def _entry(key: str, value: str) -> bytes:
    """The bytes that add an entry to the metadata when they are appended to a serialised model."""
    model = onnx.ModelProto()
    entry = model.metadata_props.add()
    entry.key, entry.value = key, value
    return model.SerializeToString()
