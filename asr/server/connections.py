"""Connections whose clients send no request, or only the beginning of one, are closed."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def with_patience(seconds: float) -> type[H11Protocol]:
    """The HTTP protocol of a server that waits so long for the headers of a request; uvicorn's own waits for ever."""

    class Patient(H11Protocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._waiting = self.loop.call_later(seconds, self._give_up)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._has_request():
                self._stop_waiting()
            elif self._waiting is None:  # another request of the same connection begins
                self._waiting = self.loop.call_later(seconds, self._give_up)

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

    return Patient
