"""OpenAI's REST API for transcription: /v1/audio/transcriptions and /v1/models."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from asr.server import responses
from asr.server.errors import ApiError, internal_error
from asr.server.hotwords import phrases_of
from asr.server.languages import name_of, problem
from asr.server.service import Service
from asr.server.uploads import Upload, received
from asr.transcript import Transcript

# Names that clients insist on; all of them are the model that is served.
ALIASES = ("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe")
GRANULARITIES = ("segment", "word")
KEEP_ALIVE_SECONDS = 15.0


def routes() -> list[Route]:
    """The routes of this module; each request finds the service in its app's state."""
    return [
        Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
        Route("/v1/audio/translations", translations, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),
    ]


async def transcriptions(request: Request) -> Response:
    """Transcribe an upload, in the format asked for, at once or as events."""
    service: Service = request.app.state.service
    async with AsyncExitStack() as stack:
        with service.coming():
            upload = await stack.enter_async_context(received(request, service.config.limit))
        kind, granularities, logprobs = _checked(service, upload)
        phrases = phrases_of(upload.get("prompt"), upload.all("keywords"))
        if _is_true(upload.get("stream")):
            # The upload must outlast this function: it goes when the stream ends.
            parts, separator = service.parts(upload.path, phrases), service.recognizer.separator
            events = _events(parts, separator, logprobs, granularities, stack.pop_all())
            return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        transcript = await service.transcribe(upload.path, phrases)
    if kind == "text":
        return PlainTextResponse(transcript.text + "\n")
    if kind in ("srt", "vtt"):
        return PlainTextResponse(responses.subtitles(transcript, kind))
    if kind == "verbose_json":
        return JSONResponse(responses.verbose(transcript, name_of(service.config.language), granularities))
    return JSONResponse(responses.plain(transcript, logprobs))


def _checked(service: Service, upload: Upload) -> tuple[str, list[str], bool]:
    """Format, granularities and whether log-probabilities are wanted; raises `ApiError` for impossible values."""
    if not upload.get("model"):
        raise ApiError(400, "the form lacks the field 'model'", param="model", code="missing_required_parameter")
    _known(service, upload.get("model"))
    if wrong := problem(upload.get("language"), service.config.language):
        raise ApiError(400, wrong, param="language")
    kind = upload.get("response_format") or "json"
    if kind not in responses.FORMATS:
        raise ApiError(400, f"response_format: one of {', '.join(responses.FORMATS)}", param="response_format")
    granularities = upload.all("timestamp_granularities")
    for each in granularities:
        if each not in GRANULARITIES:
            raise ApiError(400, "timestamp_granularities: word or segment", param="timestamp_granularities")
    with contextlib.suppress(ValueError):
        if 0 <= float(upload.get("temperature") or 0) <= 1:
            return kind, granularities, "logprobs" in upload.all("include")
    raise ApiError(400, "temperature: a number from 0 to 1", param="temperature")


async def _events(
    parts: AsyncIterator[Transcript], separator: str, logprobs: bool, granularities: list[str], stack: AsyncExitStack
) -> AsyncIterator[bytes]:
    """Server-sent events: one for each part of the text, its segments, and all of it at the end. Comments in between
    keep the connection open while nothing is known."""
    text, seconds = "", 0.0
    found: list[dict] = []
    all_logprobs: list[dict] = []
    async with stack:
        coming = asyncio.ensure_future(anext(parts, None))
        yield b": asr\n\n"
        try:
            while True:
                done, _ = await asyncio.wait([coming], timeout=KEEP_ALIVE_SECONDS)
                if not done:
                    yield b": still at work\n\n"
                    continue
                part: Transcript | None = coming.result()
                if part is None:
                    break
                coming = asyncio.ensure_future(anext(parts, None))
                segments = responses.segments(part, len(found))
                before = separator if text and part.text else ""
                its_logprobs = responses.log_probabilities(part, before) if logprobs else None
                for each in responses.delta_events(part, before, segments, its_logprobs, granularities):
                    yield each
                text += before + part.text
                found += segments
                all_logprobs += its_logprobs or []
                seconds = part.duration
        except ApiError as error:
            yield responses.event("error", error.body())
            return
        except Exception:
            logging.getLogger("uvicorn.error").exception("a streamed transcription failed")
            yield responses.event("error", internal_error().body())
            return
        finally:
            coming.cancel()  # where the client has left
    yield responses.done_event(text, found, seconds, all_logprobs if logprobs else None)


async def translations(request: Request) -> Response:
    """Refuse: this recogniser writes what is said, in the language in which it is said."""
    raise ApiError(400, "this server transcribes and does not translate; use /v1/audio/transcriptions")


async def models(request: Request) -> Response:
    """The model that is served, by its own name and by those that clients insist on."""
    service: Service = request.app.state.service
    return JSONResponse({"object": "list", "data": [_described(service, name) for name in (service.name, *ALIASES)]})


async def model(request: Request) -> Response:
    """One of them."""
    service: Service = request.app.state.service
    return JSONResponse(_described(service, _known(service, request.path_params["name"])))


def _known(service: Service, name: str) -> str:
    if name not in (service.name, *ALIASES):
        known = ", ".join((service.name, *ALIASES))
        raise ApiError(404, f"the model '{name[:100]}' is not served; there is {known}", "model", "model_not_found")
    return name


def _described(service: Service, name: str) -> dict:
    described = {"id": name, "object": "model", "created": service.created, "owned_by": "asr"}
    return described | {"separator": service.recognizer.separator}  # of words: the page writes them with it


def _is_true(value: str) -> bool:
    if value.lower() not in ("", "true", "false", "1", "0"):
        raise ApiError(400, "stream: true or false", param="stream")
    return value.lower() in ("true", "1")
