"""How connections end. Those whose clients send no request, or only the beginning of one, or do not read what they are
sent, are closed: uvicorn's own protocols wait for ever. Those whose requests are refused stay open for a while."""

import asyncio
import contextlib
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LINGER_SECONDS = 30.0  # in which the rest of a refused request is read, as nginx does
QUIET_SECONDS = 2.0  # without a byte of it


class LingeringClose:
    """ASGI middleware: a response to a request that has not come to its end is sent at once. Then what still comes is
    read, and dropped, before the connection is closed: many clients read the response only when they have sent all, and
    lose it when the connection is reset (RFC 9112, section 9.6)."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = dict(scope["headers"])
        coming = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"

        async def receiving() -> Message:
            nonlocal coming
            message = await receive()
            coming = message.get("more_body", False)
            return message

        async def drop() -> None:
            end = time.monotonic() + LINGER_SECONDS
            with contextlib.suppress(TimeoutError):
                while coming and time.monotonic() < end:
                    await asyncio.wait_for(receiving(), QUIET_SECONDS)

        async def sending(message: Message) -> None:
            if coming and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
            elif coming and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await drop()
                message = {"type": "http.response.body"}
            await send(message)

        await self._app(scope, receiving, sending)


def patient_protocols(seconds: float) -> tuple[type[H11Protocol], type[WebSocketsSansIOProtocol]]:
    """The protocols of a server, HTTP and WebSocket, that wait so long for the headers of a request, and for the client
    to make room in a full connection."""

    class Http(_PatientHttp):
        patience = seconds

    class WebSocket(_PatientWebSocket):
        patience = seconds

    return Http, WebSocket


class _Reading(asyncio.Protocol):
    """A connection whose client makes room in it within `patience` once it is full."""

    patience: float  # seconds
    transport: Any
    _full: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._full = asyncio.get_running_loop().call_later(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_timing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timing()
        super().connection_lost(exc)

    def _stop_timing(self) -> None:
        if self._full is not None:
            self._full.cancel()
            self._full = None


class _PatientWebSocket(_Reading, WebSocketsSansIOProtocol):
    """A WebSocket."""


class _PatientHttp(_Reading, H11Protocol):
    """An HTTP connection whose client sends the headers of a request within `patience`, too."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._waiting = self.loop.call_later(self.patience, self._give_up)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._has_request():
            self._stop_waiting()
        elif self._waiting is None:  # another request of the same connection begins
            self._waiting = self.loop.call_later(self.patience, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _has_request(self) -> bool:
        """Whether a request is being answered, or has made this connection a WebSocket."""
        upgraded = self.transport.get_protocol() is not self
        return upgraded or (self.cycle is not None and not self.cycle.response_complete)

    def _give_up(self) -> None:
        self._waiting = None
        if not self._has_request():
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
