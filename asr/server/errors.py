"""What a client did wrong, as OpenAI's error objects with an HTTP status."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

TYPES = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error", 503: "server_error"}


class ApiError(Exception):
    """An answer other than 2xx: a message for a person, and the parameter that it is about."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.param, self.code, self.headers = status, param, code, headers or {}

    def body(self) -> dict:
        """The error object (https://platform.openai.com/docs/guides/error-codes)."""
        kind = TYPES.get(self.status, "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class BusyError(ApiError):
    """All workers are busy and the queue is full."""

    def __init__(self, retry_after: int):
        headers = {"Retry-After": str(retry_after)}
        super().__init__(429, "all workers are busy; try again later", code="rate_limit_exceeded", headers=headers)


def internal_error() -> ApiError:
    """A fault of the server."""
    return ApiError(500, "the server failed on this request; its log says why", code="internal_error")


def answer(request: Request, error: Exception) -> JSONResponse:
    """The response for an error; without its text for one that is not the client's fault, which may quote files."""
    if not isinstance(error, ApiError):
        error = internal_error()
    return JSONResponse(error.body(), error.status, error.headers)


async def send_error(error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request or a WebSocket handshake with an error."""
    if scope["type"] == "websocket":
        await WebSocketClose(code=1008, reason=str(error)[:120])(scope, receive, send)
    else:
        await JSONResponse(error.body(), error.status, error.headers)(scope, receive, send)
