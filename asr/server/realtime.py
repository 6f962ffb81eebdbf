"""OpenAI's Realtime API for transcription (https://platform.openai.com/docs/guides/realtime-transcription): JSON events
over WebSocket, audio as base64."""

import base64
import binascii
import json
import uuid
from typing import Any

import numpy as np
from starlette.websockets import WebSocket

from asr.recognition.streaming import PAUSE_SECONDS, Update
from asr.server.companding import a_law, mu_law
from asr.server.hotwords import phrases_of
from asr.server.languages import problem
from asr.server.live import LiveStream, Pcm16
from asr.server.responses import log_probabilities
from asr.server.service import Service
from asr.server.sockets import json_object, live_session, messages, sample_rate
from asr.transcript import Transcript, Word

DEFAULT_RATE = 24000  # hertz
TELEPHONE_RATE = 8000  # of G.711
OLDER_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
TRANSCRIPTION = "conversation.item.input_audio_transcription"
VAD = ("server_vad", "semantic_vad")
SETTINGS = ("model", "language", "prompt", "keywords")
LOGPROBS = "item.input_audio_transcription.logprobs"


class RequestError(Exception):
    """An event that cannot be carried out; the session continues."""

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_value"):
        super().__init__(message)
        self.param, self.code = param, code


async def realtime(websocket: WebSocket) -> None:
    """One client's session."""
    await live_session(websocket, _converse)


async def _converse(websocket: WebSocket, service: Service) -> None:
    session = Session(service, websocket)
    await session.send("session.created", session=session.describe())
    async for message in messages(websocket, service.config.limit.idle_seconds):
        event = json_object(message)
        try:
            await session.take(event)
        except RequestError as error:
            body = {"type": "invalid_request_error", "message": str(error), "param": error.param}
            named = event.get("event_id")
            body |= {"code": error.code, "event_id": named if isinstance(named, str) else None}
            await session.send("error", error=body)


class Session:
    """The settings of a session, and the item, the stretch of speech, that it is transcribing."""

    def __init__(self, service: Service, websocket: WebSocket):
        self._service, self._websocket = service, websocket
        self._id = _new_id("sess")
        self._format: dict[str, Any] = {"type": "audio/pcm", "rate": DEFAULT_RATE}
        self._transcription: dict[str, Any] = {"model": service.name, "language": None, "prompt": ""}
        self._turns: dict[str, Any] | None = {"type": "server_vad", "silence_duration_ms": round(PAUSE_SECONDS * 1000)}
        self._include: list[str] = []
        self._before = 0.0  # seconds of audio before the stream
        self._previous: str | None = None  # item
        self._begin_stream()

    def describe(self) -> dict[str, Any]:
        """The session object."""
        audio = {"format": self._format, "transcription": self._transcription, "turn_detection": self._turns}
        return {
            "id": self._id,
            "object": "realtime.transcription_session",
            "type": "transcription",
            "audio": {"input": audio | {"noise_reduction": None}},
            "include": self._include,
        }

    async def send(self, kind: str, **fields: Any) -> None:
        """Send an event."""
        event = {"type": kind, "event_id": _new_id("event"), **fields}
        await self._websocket.send_text(json.dumps(event))

    async def take(self, event: dict[str, Any]) -> None:
        """Carry out an event of the client's; raises `RequestError`."""
        match event.get("type"):
            case "session.update":
                self._update(_field(event, "session", dict))
                await self.send("session.updated", session=self.describe())
            case "transcription_session.update":
                self._update(_as_newer(_field(event, "session", dict)))
                await self.send("transcription_session.updated", session=self.describe())
            case "input_audio_buffer.append":
                async for update in self._stream.push(self._samples(_field(event, "audio", str))):
                    await self._pass_on(update)
            case "input_audio_buffer.commit":
                await self._commit()
            case "input_audio_buffer.clear":
                self._before += self._stream.seconds  # times count from the start of the session
                self._begin_stream()
                await self.send("input_audio_buffer.cleared")
            case kind:
                raise RequestError(f"no event type of a transcription session: {str(kind)[:100]!r}", "type")

    def _update(self, session: dict[str, Any]) -> None:
        given = _field(_field(session, "audio", dict, {}), "input", dict, {})
        form = self._format_of(_field(given, "format", dict, self._format))
        if form != self._format and self._stream.seconds:
            raise RequestError("format: cannot change while audio is in the buffer", "session.audio.input.format")
        turns = given.get("turn_detection", self._turns)
        if turns is not None and not (isinstance(turns, dict) and turns.get("type") in VAD):
            raise RequestError("turn_detection: null, server_vad or semantic_vad", "session.audio.input.turn_detection")
        self._include = list(_field(session, "include", list, self._include))
        transcription = _field(given, "transcription", dict, {})
        _field(transcription, "prompt", str, "")
        if wrong := problem(_field(transcription, "language", str, ""), self._service.config.language):
            raise RequestError(wrong, "session.audio.input.transcription.language")
        if not all(isinstance(each, str) for each in _field(transcription, "keywords", list, [])):
            raise RequestError("keywords: a list of texts", "session.audio.input.transcription.keywords")
        self._transcription |= {name: transcription[name] for name in SETTINGS if name in transcription}
        self._turns = turns
        if not self._stream.seconds:
            self._format = form
            self._begin_stream()

    def _format_of(self, form: dict[str, Any]) -> dict[str, Any]:
        if form.get("type") in ("audio/pcmu", "audio/pcma"):
            return {"type": form["type"], "rate": TELEPHONE_RATE}
        if form.get("type") != "audio/pcm":
            raise RequestError("format.type: audio/pcm, audio/pcmu or audio/pcma", "session.audio.input.format.type")
        try:
            return {"type": "audio/pcm", "rate": sample_rate(form.get("rate", DEFAULT_RATE))}
        except ValueError as error:
            raise RequestError(f"format.rate: {error}", "session.audio.input.format.rate") from None

    def _samples(self, audio: str) -> np.ndarray:
        try:
            data = base64.b64decode(audio, validate=True)
        except (binascii.Error, ValueError):
            raise RequestError("audio: not base64", "audio") from None
        decode = {"audio/pcmu": mu_law, "audio/pcma": a_law}.get(self._format["type"], self._pcm.samples)
        return decode(data)

    def _begin_stream(self) -> None:
        prompt, keywords = (self._transcription.get(name) for name in ("prompt", "keywords"))
        phrases = phrases_of(prompt or "", keywords or ())
        self._stream, self._pcm = LiveStream(self._service.streams, self._format["rate"], phrases), Pcm16()
        self._begin_item()

    def _begin_item(self) -> None:
        self._item, self._started, self._item_start = _new_id("item"), False, 0.0
        self._words: list[Word] = []

    async def _pass_on(self, update: Update) -> None:
        """Send the events that follow from a step."""
        if not self._started and (update.committed or update.partial) and self._turns:
            self._started = True
            start = update.committed[0].start if update.committed else update.received
            milliseconds = round(1000 * (self._before + start))
            await self.send("input_audio_buffer.speech_started", audio_start_ms=milliseconds, item_id=self._item)
        await self._send_words(update.committed)
        if update.pause and self._turns:
            await self._complete(update.received)

    async def _send_words(self, words: tuple[Word, ...]) -> None:
        if not words:
            return
        delta = self._service.recognizer.join(words)
        text = self._service.recognizer.separator + delta if self._words else delta
        self._words += words
        await self.send(f"{TRANSCRIPTION}.delta", item_id=self._item, content_index=0, delta=text)

    async def _commit(self) -> None:
        if not self._stream.seconds:
            raise RequestError("the buffer is empty", code="input_audio_buffer_commit_empty")
        received = 0.0
        async for update in self._stream.finish():
            received = update.received
            await self._send_words(update.committed)
        await self._complete(received)
        self._before += received
        self._begin_stream()

    async def _complete(self, received: float) -> None:
        """End the item and begin the next."""
        if self._started:
            milliseconds = round(1000 * (self._before + received))
            await self.send("input_audio_buffer.speech_stopped", audio_end_ms=milliseconds, item_id=self._item)
        await self.send("input_audio_buffer.committed", item_id=self._item, previous_item_id=self._previous)
        seconds = received - self._item_start
        found = Transcript(self._service.recognizer.join(self._words), tuple(self._words), received)
        fields: dict[str, Any] = {"transcript": found.text, "usage": {"type": "duration", "seconds": seconds}}
        if LOGPROBS in self._include:
            fields["logprobs"] = log_probabilities(found)
        await self.send(f"{TRANSCRIPTION}.completed", item_id=self._item, content_index=0, **fields)
        self._previous = self._item
        self._begin_item()
        self._item_start = received


def _as_newer(session: dict[str, Any]) -> dict[str, Any]:
    """A session of the older API in the form of the newer one."""
    given: dict[str, Any] = {}
    if "input_audio_format" in session:
        form = OLDER_FORMATS.get(str(session["input_audio_format"]))
        given["format"] = {"type": form, "rate": DEFAULT_RATE}
    if session.get("input_audio_transcription") is not None:
        given["transcription"] = session["input_audio_transcription"]
    if "turn_detection" in session:
        given["turn_detection"] = session["turn_detection"]
    return {"audio": {"input": given}, "include": session.get("include") or []}


def _field(values: dict[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """A field of some type; raises `RequestError` for another one, or where it is missing and has no default."""
    value = values.get(name)
    value = default if value is None else value
    if not isinstance(value, kind):
        raise RequestError(f"{name}: missing, or not of the right type", name)
    return value


def _new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex[:20]}"
