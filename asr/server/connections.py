"""Connections whose clients send no request, or only the beginning of one, or do not read what they are sent, are
closed. uvicorn's own protocols wait for ever."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


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
