"""The Wyoming protocol of Home Assistant's voice pipeline (https://github.com/OHF-Voice/wyoming) over TCP: events as
JSON lines, each followed by its data and its payload. It has no keys."""

import asyncio
import contextlib
import functools
import json
import logging
import socket
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asr import __version__
from asr.errors import one_line
from asr.recognition.streaming import Update
from asr.server.errors import ApiError, internal_error
from asr.server.languages import problem
from asr.server.live import LiveStream, Pcm16
from asr.server.service import Service
from asr.server.sockets import MalformedError, json_object, sample_rate

VERSION = "1.7.0"  # of the protocol
MOST_LINE_BYTES = 1 << 16
MOST_DATA_BYTES = 1 << 20  # of an event's data, and of its payload
ATTRIBUTION = {"name": "asr", "url": ""}


@dataclass(frozen=True)
class Event:
    """An event and its audio, if it has any."""

    kind: str
    data: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""


async def start(service: Service, listener: socket.socket) -> asyncio.Server:
    """Listen on a socket."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            await _converse(service, reader, writer)
        writer.close()

    return await asyncio.start_server(connected, sock=listener, limit=MOST_LINE_BYTES)


async def _converse(service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client's connection: it ends with an `error` event where the client errs."""
    session, seconds = Session(service, writer), service.config.limit.idle_seconds
    try:
        while event := await asyncio.wait_for(read_event(reader), seconds):
            await session.take(event)
    except TimeoutError:
        writer.transport.abort()  # with what the client has not read
    except (MalformedError, ApiError) as error:
        code = "busy" if isinstance(error, ApiError) else "malformed"
        await write_event(writer, Event("error", {"text": str(error), "code": code}), seconds)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the client has left
    except Exception:
        logging.getLogger("uvicorn.error").exception("a Wyoming stream failed")
        await write_event(writer, Event("error", {"text": str(internal_error()), "code": "failed"}), seconds)
    finally:
        session.leave()


async def read_event(reader: asyncio.StreamReader) -> Event | None:
    """The next event, None at the end; raises `MalformedError`."""
    try:
        line = await reader.readline()
    except ValueError:
        raise MalformedError(f"a line of more than {MOST_LINE_BYTES} bytes") from None
    if not line:
        return None
    header = json_object(line.decode("utf-8", "replace"))
    data = header.get("data") or {}
    if not isinstance(header.get("type"), str) or not isinstance(data, dict):
        raise MalformedError("an event needs a type, and an object as its data")
    if more := await _read_part(reader, header, "data_length"):
        data |= json_object(more.decode("utf-8", "replace"))
    return Event(header["type"], data, await _read_part(reader, header, "payload_length"))


async def _read_part(reader: asyncio.StreamReader, header: dict[str, Any], name: str) -> bytes:
    size = header.get(name) or 0
    if not isinstance(size, int) or not 0 <= size <= MOST_DATA_BYTES:
        raise MalformedError(f"{name}: a number of bytes up to {MOST_DATA_BYTES}")
    return await reader.readexactly(size)


async def write_event(writer: asyncio.StreamWriter, event: Event, seconds: float) -> None:
    """Send an event; raises `TimeoutError` when the client makes no room for it in so many seconds."""
    data = json.dumps(event.data).encode()
    header = {"type": event.kind, "version": VERSION, "data_length": len(data)}
    writer.write(json.dumps(header).encode() + b"\n" + data)
    await asyncio.wait_for(writer.drain(), seconds)


class Session:
    """A connection; between audio-start and audio-stop it has a stream and a place for it."""

    def __init__(self, service: Service, writer: asyncio.StreamWriter):
        self._service, self._writer = service, writer
        self._place = contextlib.ExitStack()
        self._stream: LiveStream | None = None
        self._pcm, self._channels = Pcm16(), 1
        self._texts: list[str] = []

    def leave(self) -> None:
        """Free the place."""
        self._place.close()
        self._stream, self._texts = None, []

    async def take(self, event: Event) -> None:
        """Carry out an event; those of other services are ignored, as the protocol asks."""
        match event.kind:
            case "describe":
                await self._send("info", asr=[_program(self._service)])
            case "transcribe":
                if wrong := problem(str(event.data.get("language") or ""), self._service.config.language):
                    _warn(f"a Wyoming client is answered although {one_line(wrong)}")
            case "ping":
                await self._write(Event("pong", event.data))
            case "audio-start":
                await self._begin(event.data)
            case "audio-chunk":
                stream = self._stream or await self._begin(event.data)
                samples = self._pcm.samples(event.payload)
                whole = len(samples) // self._channels * self._channels
                async for update in stream.push(_mixed(samples[:whole], self._channels)):
                    await self._pass_on(update)
            case "audio-stop":
                if self._stream is not None:  # some clients send no start where there is no audio
                    async for update in self._stream.finish():
                        await self._pass_on(update)
                await self._send("transcript", text="".join(self._texts), language=self._service.config.language)
                await self._send("transcript-stop")
                self.leave()

    async def _begin(self, form: dict[str, Any]) -> LiveStream:
        try:
            rate = sample_rate(form.get("rate"))
        except ValueError as error:
            raise MalformedError(f"rate: {error}") from None
        width, channels = form.get("width"), form.get("channels")
        if width != 2 or not isinstance(channels, int) or not 1 <= channels <= 8:
            raise MalformedError("audio: 16-bit samples (width 2) of 1 to 8 channels")
        self.leave()
        self._place.enter_context(self._service.place())
        self._stream, self._pcm = LiveStream(self._service.streams, rate), Pcm16()
        self._channels = channels
        await self._send("transcript-start", language=self._service.config.language)
        return self._stream

    async def _pass_on(self, update: Update) -> None:
        if update.committed:
            recognizer = self._service.recognizer
            text = recognizer.join(update.committed)
            self._texts.append(recognizer.separator + text if self._texts else text)
            await self._send("transcript-chunk", text=self._texts[-1])

    async def _send(self, kind: str, **data: Any) -> None:
        await self._write(Event(kind, data))

    async def _write(self, event: Event) -> None:
        await write_event(self._writer, event, self._service.config.limit.idle_seconds)


@functools.lru_cache  # once for each language
def _warn(text: str) -> None:
    logging.getLogger("uvicorn.error").warning(text)


def _mixed(samples: np.ndarray, channels: int) -> np.ndarray:
    return samples.reshape(-1, channels).mean(axis=1, dtype=np.float32)


def _program(service: Service) -> dict[str, Any]:
    shared = {"attribution": ATTRIBUTION, "installed": True, "version": __version__}
    language = service.config.language
    model = {"name": service.name, "description": f"{service.name} ({language})", "languages": [language], **shared}
    about = {"name": "asr", "description": "BiLSTM-CTC speech recogniser", "models": [model], **shared}
    return about | {"supports_transcript_streaming": True, "requires_external_vad": True}
