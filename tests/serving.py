"""A server of a small model in a thread of the test's process."""

import asyncio
import contextlib
import threading

import uvicorn

from asr.recognition.recognizer import Recognizer
from asr.server.app import make_app
from asr.server.config import ServeConfig
from asr.server.service import Service


@contextlib.contextmanager
def serving(recognizer: Recognizer, config: ServeConfig, keys=()):
    """The service, and the address that it is reached at."""
    service = Service(recognizer, "tiny", config)
    server = uvicorn.Server(uvicorn.Config(make_app(service, list(keys)), port=0, log_level="error"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
        assert thread.is_alive(), "the server did not start"
    try:
        yield service, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"
