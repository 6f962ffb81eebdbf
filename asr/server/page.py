"""The page at `/`, and what it asks of the server besides the public protocols: a transcript, edited, as a file."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from asr.output.formats import WRITERS, Document
from asr.server.errors import ApiError
from asr.server.service import Service
from asr.server.uploads import chunks
from asr.transcript import Transcript, Word

STATIC = Path(__file__).with_name("static")
POLICY = "default-src 'self'; connect-src 'self' ws: wss:; img-src data:; media-src blob:; frame-ancestors 'none'"
MOST_BYTES = 16 << 20  # of an edited transcript
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class PageWord(msgspec.Struct):
    """A word as the page has it."""

    word: str
    start: Seconds
    end: Seconds
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)]


class Edited(msgspec.Struct):
    """A transcript to write."""

    name: str
    format: Literal["txt", "srt", "vtt", "json", "TextGrid"]
    duration: Seconds
    words: list[PageWord]


def routes() -> list[Route | Mount]:
    """The routes of this module."""
    return [
        Route("/", page),
        Route("/write", write, methods=["POST"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]


async def page(request: Request) -> Response:
    """The page. It may load nothing from elsewhere."""
    return FileResponse(STATIC / "index.html", headers={"Content-Security-Policy": POLICY})


async def write(request: Request) -> Response:
    """An edited transcript in one of the formats of `asr transcribe`."""
    service: Service = request.app.state.service
    body, too_long = bytearray(), ApiError(413, f"the transcript has more than {MOST_BYTES >> 20} MiB")
    async for chunk in chunks(request, service.config.limit.idle_seconds, MOST_BYTES, too_long):
        body += chunk
    try:
        edited = msgspec.json.decode(body, type=Edited)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, f"not a transcript: {error}") from None
    words = tuple(Word(each.word, each.start, max(each.start, each.end), each.probability) for each in edited.words)
    text = service.recognizer.join(words)
    transcript = Transcript(text, words, edited.duration)
    document = Document(edited.name, edited.name, transcript)
    return PlainTextResponse(await asyncio.to_thread(WRITERS[edited.format], document))
