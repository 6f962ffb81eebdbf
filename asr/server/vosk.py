"""The WebSocket protocol of vosk-server (https://alphacephei.com/vosk/server): PCM in, one JSON answer per message."""

import json
from typing import Any

from starlette.websockets import WebSocket

from asr.recognition.streaming import Update
from asr.server.hotwords import Phrases, limited
from asr.server.live import LiveStream, Pcm16
from asr.server.service import Service
from asr.server.sockets import MalformedError, json_object, live_session, messages, sample_rate
from asr.transcript import Word

DEFAULT_RATE = 8000  # hertz, as vosk-server's


async def vosk(websocket: WebSocket) -> None:
    """One client's connection."""
    await live_session(websocket, _converse)


async def _converse(websocket: WebSocket, service: Service) -> None:
    session = Session(service)
    async for message in messages(websocket, service.config.limit.idle_seconds):
        answer = await session.audio(message) if isinstance(message, bytes) else await session.command(message)
        if answer is not None:
            await websocket.send_text(json.dumps(answer, ensure_ascii=False))
        if session.ended:
            return


class Session:
    """The settings of a connection, and the words since its last result."""

    def __init__(self, service: Service):
        self._streams, self._recognizer = service.streams, service.recognizer
        self._stream: LiveStream | None = None
        self._rate, self._with_words, self._alternatives = DEFAULT_RATE, True, 0
        self._phrases: Phrases = ()
        self._with_partial_words = False
        self._pcm, self._partial = Pcm16(), ""
        self._words: list[Word] = []
        self.ended = False

    async def command(self, text: str) -> dict[str, Any] | None:
        """Take in a configuration (no answer), or the end of the audio or of a phrase (its result)."""
        command = json_object(text)
        if "config" in command:
            self._configure(command["config"])
            return None
        if not {"eof", "reset"} & set(command):
            raise MalformedError("the message has none of config, eof, reset")
        self.ended = "eof" in command
        stream, self._stream = self._stream, None
        if stream:
            async for update in stream.finish():
                self._take(update)
        return self._result()

    async def audio(self, data: bytes) -> dict[str, Any]:
        """Take in audio; the answer is a result after a pause, else what is known of the phrase."""
        self._stream = self._stream or LiveStream(self._streams, self._rate, self._phrases)
        paused = False
        async for update in self._stream.push(self._pcm.samples(data)):
            paused |= self._take(update)
        if paused:
            return self._result()
        texts = self._recognizer.join(self._words), self._partial
        answer: dict[str, Any] = {"partial": self._recognizer.separator.join(filter(None, texts))}
        if self._with_partial_words:
            answer["partial_result"] = [_described(word) for word in self._words]
        return answer

    def _configure(self, config: Any) -> None:
        if not isinstance(config, dict):
            raise MalformedError("config: not an object")
        alternatives = config.get("max_alternatives", self._alternatives)
        try:
            rate = sample_rate(config.get("sample_rate", self._rate))
        except ValueError as error:
            raise MalformedError(f"config.sample_rate: {error}") from None
        if not isinstance(alternatives, int) or alternatives < 0:
            raise MalformedError("config.max_alternatives: a whole number from 0")
        phrases = config.get("phrase_list", list(self._phrases))
        if not isinstance(phrases, list) or not all(isinstance(phrase, str) for phrase in phrases):
            raise MalformedError("config.phrase_list: a list of texts")
        if self._stream and rate != self._rate:
            raise MalformedError("config.sample_rate: cannot change after audio")
        self._rate, self._alternatives = rate, alternatives
        self._with_words = bool(config.get("words", self._with_words))
        self._with_partial_words = bool(config.get("partial_words", self._with_partial_words))
        # "[unk]" is Vosk's name for all words that are not in the list.
        self._phrases = limited(phrase for phrase in phrases if phrase != "[unk]")

    def _take(self, update: Update) -> bool:
        self._words += update.committed
        self._partial = update.partial
        return update.pause

    def _result(self) -> dict[str, Any]:
        words, self._words, self._partial = self._words, [], ""
        result: dict[str, Any] = {"text": self._recognizer.join(words)}
        if self._with_words and words:
            result["result"] = [_described(word) for word in words]
        if not self._alternatives:
            return result
        confidence = sum(word.confidence for word in words) / max(1, len(words))
        return {"alternatives": [{"confidence": confidence, **result}]}


def _described(word: Word) -> dict[str, Any]:
    return {"conf": word.confidence, "end": word.end, "start": word.start, "word": word.text}
