"""What the protocols over WebSocket share: who may connect, how long to wait, and the close code of each failure
(RFC 6455, section 7.4)."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from asr.server.access import KEY_PROTOCOL
from asr.server.errors import ApiError
from asr.server.service import Service

DONE, MALFORMED, POLICY, FAILED, LATER = 1000, 1007, 1008, 1011, 1013
LEAST_RATE, MOST_RATE = 8000, 192000  # hertz, from telephones to studios
REASON_BYTES = 120  # of at most 123


class MalformedError(Exception):
    """What is wrong with a client's message."""


async def live_session(websocket: WebSocket, converse: Callable[[WebSocket, Service], Awaitable[None]]) -> None:
    """Accept a connection, which takes one of the places for live streams, and close it with a reason at the end."""
    service: Service = websocket.app.state.service
    if not _same_origin(websocket, service.config.cors):
        await websocket.close(POLICY)  # before it is accepted: the client gets status 403
        return
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(next((each for each in offered if not each.startswith(KEY_PROTOCOL)), None))
    try:
        with service.place():
            await converse(websocket, service)
        await _close(websocket, DONE, "")
    except WebSocketDisconnect:
        pass
    except MalformedError as error:
        await _close(websocket, MALFORMED, str(error))
    except TimeoutError:
        await _close(websocket, POLICY, f"nothing was received for {service.config.limit.idle_seconds:g} s")
    except ApiError as error:
        await _close(websocket, LATER, str(error))
    except Exception:
        await _close(websocket, FAILED, "the server failed on this stream; its log says why")
        raise


async def messages(websocket: WebSocket, idle_seconds: float) -> AsyncIterator[str | bytes]:
    """The client's messages until it leaves; raises `TimeoutError` when it stops sending."""
    while True:
        message = await asyncio.wait_for(websocket.receive(), idle_seconds)
        if message["type"] == "websocket.disconnect":
            return
        yield message["text"] if message.get("text") is not None else message["bytes"]


def json_object(text: str | bytes) -> dict[str, Any]:
    """The object that a text message is; raises `MalformedError`."""
    if isinstance(text, bytes):
        raise MalformedError("a binary message where JSON was expected")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedError("the message is not JSON") from None
    if not isinstance(value, dict):
        raise MalformedError("the message is not a JSON object")
    return value


def sample_rate(value: Any) -> int:
    """A rate in hertz; raises `ValueError` for one that no recording has."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST_RATE <= value <= MOST_RATE:
        raise ValueError(f"a rate from {LEAST_RATE} to {MOST_RATE} hertz")
    return round(value)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    """Close, unless the client has done so."""
    if websocket.application_state == WebSocketState.CONNECTED:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await websocket.close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))


def _same_origin(websocket: WebSocket, others: tuple[str, ...]) -> bool:
    """Whether a page may connect: browsers apply no rule of their own to WebSockets, and name the page's origin."""
    origin = websocket.headers.get("origin")
    if not origin or "*" in others or origin in others:
        return True
    try:
        return urlsplit(origin).netloc == websocket.headers.get("host")
    except ValueError:  # no address at all
        return False
