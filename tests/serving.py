"""A server of a small model in a thread of the test's process."""

import asyncio
import contextlib
import threading

from asr.recognition.recognizer import Recognizer
from asr.server.config import ServeConfig
from asr.server.serve import listening, make_server
from asr.server.service import Service


@contextlib.contextmanager
def serving(recognizer: Recognizer, config: ServeConfig, keys=()):
    """The service, and the address that it is reached at."""
    service = Service(recognizer, "tiny", config)
    server = make_server(service, list(keys))
    socket = listening("127.0.0.1", 0)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([socket])), daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
        assert thread.is_alive(), "the server did not start"
    try:
        yield service, f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"
