"""Who may use the server, and how often."""

import hmac
import os
import stat
import time
from collections import defaultdict, deque
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from asr.errors import ConfigError
from asr.server.errors import ApiError, send_error
from asr.utils.files import read_lines
from asr.utils.messages import tell

OPEN_PATHS = ("/health", "/ready", "/")  # and the page's files below STATIC
STATIC = "/static/"
MOST_CLIENTS = 10_000  # that are remembered
KEY_PROTOCOL = "openai-insecure-api-key."  # begins the WebSocket subprotocol that carries a key


def read_keys(path: Path) -> list[str]:
    """The keys of a file, one per line; `#` begins a comment. Warns when other users can read the file.

    Raises `ConfigError` when it cannot be read or has no keys.
    """
    lines = (line.strip() for line in read_lines(path, ConfigError, "give a file of keys, one per line"))
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ConfigError(f"{path}: no keys in it; write one per line")
    if os.stat(path).st_mode & (stat.S_IRGRP | stat.S_IROTH):
        tell(f"{path}: other users can read the keys; chmod 600 {path}")
    return keys


class Access:
    """ASGI middleware: asks for a key, where there are any, and limits requests per minute."""

    def __init__(self, app: ASGIApp, keys: list[str], requests_per_minute: int):
        self._app, self._keys, self._most = app, [key.encode() for key in keys], requests_per_minute
        self._seen: dict[str, deque[float]] = defaultdict(deque)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or _is_open(scope):
            return await self._app(scope, receive, send)
        try:
            client = self._client(scope)
            self._count(client)
        except ApiError as error:
            return await send_error(error, scope, receive, send)
        await self._app(scope, receive, send)

    def _client(self, scope: Scope) -> str:
        """The key, or else the address, that a request is counted by. Raises `ApiError` 401."""
        address = (scope.get("client") or ("",))[0]
        if not self._keys:
            return address
        given = _key(scope)
        # All are compared, each in constant time: how long it takes tells nothing about the keys.
        if not any([hmac.compare_digest(given, key) for key in self._keys]):  # noqa: C419 (no shortcut)
            message = "a key is needed: send it as 'Authorization: Bearer KEY'"
            raise ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        return given.decode("utf-8", "replace")

    def _count(self, client: str) -> None:
        if not self._most:
            return
        now = time.monotonic()
        if len(self._seen) > MOST_CLIENTS:  # forget those that have been quiet
            recent = {name: times for name, times in self._seen.items() if times and now - times[-1] <= 60}
            self._seen = defaultdict(deque, recent)
        seen = self._seen[client]
        while seen and now - seen[0] > 60:
            seen.popleft()
        if len(seen) >= self._most:
            wait = str(1 + int(60 - (now - seen[0])))
            message = f"more than {self._most} requests per minute; try again in {wait} s"
            raise ApiError(429, message, code="rate_limit_exceeded", headers={"Retry-After": wait})
        seen.append(now)


def _is_open(scope: Scope) -> bool:
    """Whether a request needs no key. A WebSocket at `/` is Vosk's, and needs one."""
    return scope["type"] == "http" and (scope["path"] in OPEN_PATHS or scope["path"].startswith(STATIC))


def _key(scope: Scope) -> bytes:
    """The key of a request: in its Authorization header or, for browsers' WebSockets, which cannot set one, among the
    protocols that it offers, as OpenAI's clients do."""
    headers = dict(scope["headers"])
    bearer = headers.get(b"authorization", b"")
    if bearer.lower().startswith(b"bearer "):
        return bearer[7:].strip()
    prefix = KEY_PROTOCOL.encode()
    offered = (each.strip() for each in headers.get(b"sec-websocket-protocol", b"").split(b","))
    return next((each[len(prefix) :] for each in offered if each.startswith(prefix)), b"")
