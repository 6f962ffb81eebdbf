"""`asr serve`: one process that listens, and how it stops."""

import asyncio
import contextlib
import signal
from pathlib import Path

import uvicorn

from asr.recognition.recognizer import Recognizer
from asr.server.access import read_keys
from asr.server.app import make_app
from asr.server.config import ServeConfig
from asr.server.service import Service
from asr.utils.messages import tell


def serve(model: Path, config: ServeConfig) -> None:
    """Serve a model until SIGTERM or Ctrl-C; what runs then is finished, the rest refused.

    Raises an `AsrError` when the model or the file of keys cannot be used, `OSError` when the port is taken.
    """
    keys = read_keys(config.api_key_file) if config.api_key_file else []
    service = Service(Recognizer.load(model, "cpu", config.search), model_name(model), config)
    asyncio.run(_serve(service, keys))


def model_name(model: Path) -> str:
    """What clients call a model: the name of its file, or of its folder where that says more."""
    return model.parent.name if model.stem == "model" and model.parent.name else model.stem


async def _serve(service: Service, keys: list[str]) -> None:
    config = service.config
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(service, keys),
            host=config.host,
            port=config.port,
            log_level="warning",
            ws_max_size=1 << 20,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=config.limit.shutdown_seconds,
        )
    )
    setattr(server, "capture_signals", contextlib.nullcontext)  # noqa: B010 (ours refuse new jobs first)

    def stop() -> None:
        service.stopping = True
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop)
    serving = asyncio.ensure_future(server.serve())
    while not (server.started or serving.done()):
        await asyncio.sleep(0.01)
    if server.started:
        for listener in server.servers:
            for socket in listener.sockets:
                host, port = socket.getsockname()[:2]
                tell(f"serving '{service.name}' on http://{host}:{port}")
    await serving
    await service.jobs.drain(config.limit.shutdown_seconds)
