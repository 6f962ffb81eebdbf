"""Bodies of requests, within limits: multipart forms, whose files go to disk as they come."""

import asyncio
import contextlib
import logging
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import python_multipart
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from asr.server.config import LimitConfig
from asr.server.errors import ApiError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks  # exists for type checkers alone

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # errors in a form go to the client, not to the log

FIELD_BYTES = 1 << 20  # of all fields but the file together
MOST_PARTS = 100


@dataclass(frozen=True)
class Upload:
    """A form: one file on disk, and the other fields, each with all its values. The client's name for the file is not
    used."""

    path: Path
    fields: dict[str, list[str]]

    def get(self, name: str, default: str = "") -> str:
        """The last value of a field."""
        return self.fields.get(name, [default])[-1]

    def all(self, name: str) -> list[str]:
        """All values of a field, written as `name` or as `name[]`."""
        return [*self.fields.get(name, []), *self.fields.get(f"{name}[]", [])]


@contextlib.asynccontextmanager
async def received(request: Request, limits: LimitConfig) -> AsyncIterator[Upload]:
    """The form of a request; its file lasts as long as the context.

    Raises `ApiError`: 400 for a malformed form, 408 when the client stops sending, 413 beyond the limits, 415 for
    another content type.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise ApiError(415, "send the recording as multipart/form-data, in the field 'file'")
    most = int(limits.megabytes * 1e6)
    handle, name = tempfile.mkstemp(prefix="asr-upload-")
    try:
        with os.fdopen(handle, "wb") as file:
            form = _Form(file, most, limits)
            try:
                parser = python_multipart.MultipartParser(options[b"boundary"], form.callbacks())
                async for chunk in chunks(request, limits.idle_seconds, most + FIELD_BYTES, _too_large(limits)):
                    parser.write(chunk)
            except FormParserError as error:
                raise ApiError(400, f"not a well-formed multipart form: {error}") from error
        if not form.complete:
            raise ApiError(400, "the form ends before its last boundary; send it again")
        if not form.has_file:
            raise ApiError(400, "the form has no file", param="file", code="missing_required_parameter")
        yield Upload(Path(name), form.fields)
    finally:
        os.unlink(name)


async def chunks(request: Request, idle_seconds: float, most: int, too_long: ApiError) -> AsyncIterator[bytes]:
    """The body of a request as it comes; raises `ApiError` when the client leaves (400) or stops sending (408), and
    `too_long` as soon as it is known to have more than `most` bytes."""
    if int(request.headers.get("content-length", 0)) > most:
        raise too_long
    body, size = request.stream(), 0
    try:
        while (chunk := await asyncio.wait_for(anext(body, None), idle_seconds)) is not None:
            size += len(chunk)
            if size > most:
                raise too_long
            yield chunk
    except TimeoutError:
        raise ApiError(408, f"nothing was received for {idle_seconds:g} s", code="timeout") from None
    except ClientDisconnect:
        raise ApiError(400, "the client left before the request was complete") from None


class _Form:
    """Takes in the parser's events: the part named 'file' goes to disk, the others to memory."""

    def __init__(self, file, most_bytes: int, limits: LimitConfig):
        self._file, self._left, self._limits = file, most_bytes, limits
        self._field_left = FIELD_BYTES
        self._header, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._name, self._content, self._is_file, self._parts = "", bytearray(), False, 0
        self.fields: dict[str, list[str]] = {}
        self.has_file, self.complete = False, False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._headers, self._content = {}, bytearray()
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise ApiError(400, f"the form has more than {MOST_PARTS} parts")

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = self._name == "file"
        if self._is_file:
            if self.has_file:
                raise ApiError(400, "the form has more than one file", param="file")
            self.has_file = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._left -= end - start
            if self._left < 0:
                raise _too_large(self._limits)
            self._file.write(data[start:end])
            return
        self._field_left -= end - start
        if self._field_left < 0:
            raise ApiError(413, "the form's fields are longer than a megabyte", param=self._name)
        self._content += data[start:end]

    def _end(self) -> None:
        if not self._is_file:
            self.fields.setdefault(self._name, []).append(self._content.decode("utf-8", "replace"))

    def _finish(self) -> None:
        self.complete = True


def _too_large(limits: LimitConfig) -> ApiError:
    return ApiError(413, f"the file has more than {limits.megabytes:g} MB", param="file", code="file_too_large")
