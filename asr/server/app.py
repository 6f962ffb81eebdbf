"""The ASGI application: routes, errors and limits."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from asr.server import metrics, page, rest
from asr.server.access import Access
from asr.server.connections import LingeringClose
from asr.server.errors import ApiError, answer
from asr.server.realtime import realtime
from asr.server.service import Service
from asr.server.vosk import vosk


def make_app(service: Service, keys: list[str]) -> ASGIApp:
    """The application for a service; `keys` are those of its clients, none if all are served."""
    config = service.config
    middleware = [Middleware(Access, keys=keys, requests_per_minute=config.limit.requests_per_minute)]
    if config.cors:
        cors = Middleware(CORSMiddleware, allow_origins=config.cors, allow_methods=["*"], allow_headers=["*"])
        middleware.insert(0, cors)
    app = Starlette(
        routes=[
            *rest.routes(),
            *page.routes(),
            WebSocketRoute("/v1/realtime", realtime),
            WebSocketRoute("/vosk", vosk),
            WebSocketRoute("/", vosk),  # where Vosk's clients connect to
            Route("/health", health),
            Route("/ready", ready),
            Route("/metrics", prometheus),
        ],
        middleware=middleware,
        exception_handlers={ApiError: answer, HTTPException: _http_error, Exception: answer},
    )
    app.state.service = service
    paths = {route.path for route in app.routes if isinstance(route, Route)}
    return LingeringClose(metrics.CountRequests(app, service.metrics, paths))


async def health(request: Request) -> Response:
    """Whether the process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """Whether jobs are taken."""
    stopping = request.app.state.service.stopping
    return JSONResponse({"status": "stopping" if stopping else "ready"}, 503 if stopping else 200)


async def prometheus(request: Request) -> Response:
    """Counters."""
    return Response(request.app.state.service.metrics.to_text(), media_type=metrics.CONTENT_TYPE)


def _http_error(request: Request, error: Exception) -> Response:
    """No such path, or another method: in the form of the API's other errors."""
    assert isinstance(error, HTTPException)
    message = {404: "no such path", 405: "this path does not take this method"}.get(error.status_code, error.detail)
    return answer(request, ApiError(error.status_code, message, headers=dict(error.headers or {})))
