"""Options of `asr serve` and `asr mcp`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec

from asr.decoding.config import DecoderConfig
from asr.punctuation.config import WritingConfig
from asr.utils.config_io import FLAT, SHOWN, NotNegative, Positive, PositiveReal

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
LanguageCode = Annotated[str, msgspec.Meta(pattern="^[a-z]{2,3}$")]


@dataclass(frozen=True)
class LimitConfig:
    """Limits of the server."""

    #: Megabytes of one upload.
    megabytes: PositiveReal = 500.0
    #: Seconds of audio in one upload.
    audio_seconds: PositiveReal = 4 * 3600.0
    #: Uploads that are recognised at the same time; 0: one per core.
    workers: NotNegative = 0
    #: Uploads that are received or wait for a worker. Further ones get status 429 and a Retry-After header.
    waiting: NotNegative = 64
    #: Live streams at the same time, over all protocols. Further ones are refused.
    streams: NotNegative = 12
    #: Requests per minute and client, by key or else by address; 0: no limit.
    requests_per_minute: NotNegative = 0
    #: Seconds without a byte, a complete request, or reading a response, after which a client is dropped.
    idle_seconds: PositiveReal = 60.0
    #: Seconds in which running jobs may finish after the server is asked to stop.
    shutdown_seconds: Positive = 30


@dataclass(frozen=True)
class ServeConfig:
    """The recogniser as a server for OpenAI-compatible clients."""

    #: Address to listen on. 0.0.0.0: every network interface; use keys then.
    host: str = "127.0.0.1"
    #: Port for HTTP and WebSocket; 0: a free one.
    port: Port = 8000
    #: Additional port for Vosk clients, which need not name the path /vosk there.
    vosk_port: Annotated[Port | None, SHOWN] = None
    #: Port for the Wyoming protocol of Home Assistant, which has no keys. Its usual port is 10300.
    wyoming: Annotated[Port | None, SHOWN] = None
    #: File of API keys, one per line. Without it, anyone who can reach the port may use the server.
    api_key_file: Annotated[Path | None, SHOWN] = None
    #: Language of the model, as an ISO 639-1 code. Requests for another language are refused.
    language: LanguageCode = "en"
    #: Origins of web pages that may call the server (CORS), such as https://example.org, or *.
    cors: Annotated[tuple[str, ...], SHOWN] = ()
    #: Output words only where a voice activity detector finds speech: none in silence, noise or music.
    voice_activity: bool = True
    writing: Annotated[WritingConfig, FLAT] = field(default_factory=WritingConfig)
    limit: LimitConfig = field(default_factory=LimitConfig)
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)


@dataclass(frozen=True)
class McpConfig:
    """The recogniser as a tool for assistants."""

    #: Language of the model, as an ISO 639-1 code. Requests for another language get an error.
    language: LanguageCode = "en"
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)
