"""`asr serve`: one process that listens, and how it stops."""

import asyncio
import contextlib
import signal
import socket
from pathlib import Path

import uvicorn

from asr.errors import ConfigError
from asr.recognition.recognizer import Recognizer
from asr.server import wyoming
from asr.server.access import read_keys
from asr.server.app import make_app
from asr.server.config import ServeConfig
from asr.server.connections import patient_protocols
from asr.server.service import Service
from asr.utils.messages import tell

MOST_FRAME_BYTES = 20 << 20  # of one WebSocket message: OpenAI's clients append 15 MiB of audio, as base64


def serve(model: Path, config: ServeConfig) -> None:
    """Serve a model until SIGTERM or Ctrl-C; what runs then is finished, the rest refused.

    Raises an `AsrError` when the model, the file of keys or a port cannot be used.
    """
    keys = read_keys(config.api_key_file) if config.api_key_file else []
    activity = config.voice_activity
    recognizer = Recognizer.load(model, "cpu", config.search, voice_activity=activity, writing=config.writing)
    service = Service(recognizer, model_name(model), config)
    asyncio.run(_serve(service, keys))


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; raises `ConfigError` naming host and port."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # which says once more what was tried
        raise ConfigError(f"{host}:{port}: {reason}; choose another --host or port") from error


def model_name(model: Path) -> str:
    """What clients call a model: the name of its file, or of its folder where that says more."""
    return model.parent.name if model.stem == "model" and model.parent.name else model.stem


def make_server(service: Service, keys: list[str]) -> uvicorn.Server:
    """The HTTP and WebSocket server of a service, which listens on the sockets that it is given."""
    http, websocket = patient_protocols(service.config.limit.idle_seconds)
    return uvicorn.Server(
        uvicorn.Config(
            make_app(service, keys),
            http=http,
            ws=websocket,
            log_level="warning",
            ws_max_size=MOST_FRAME_BYTES,
            ws_ping_timeout=None,  # a pong waits behind audio that has not been recognised yet; see idle_seconds
            timeout_keep_alive=75,
            timeout_graceful_shutdown=service.config.limit.shutdown_seconds,
        )
    )


async def _serve(service: Service, keys: list[str]) -> None:
    config = service.config
    server = make_server(service, keys)
    sockets = [listening(config.host, port) for port in (config.port, config.vosk_port) if port is not None]
    voice = listening(config.host, config.wyoming) if config.wyoming is not None else None
    setattr(server, "capture_signals", contextlib.nullcontext)  # noqa: B010 (ours refuse new jobs first)

    def stop() -> None:
        service.stopping = True
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop)
    wyoming_server = await wyoming.start(service, voice) if voice else None
    serving = asyncio.ensure_future(server.serve(sockets))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.01)
    if server.started:
        for each in sockets:
            tell(f"serving '{service.name}' on http://{_address(each)}")
        if voice:
            tell(f"serving '{service.name}' on tcp://{_address(voice)} (Wyoming)")
    await serving
    if wyoming_server:
        wyoming_server.close()
    await service.jobs.drain(config.limit.shutdown_seconds)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
