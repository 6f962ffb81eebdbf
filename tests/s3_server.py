"""An S3 server (moto) on loopback whose answers can be made to fail, wait or break off."""

import logging
import threading
import time
from collections.abc import Callable, Iterable

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


class S3Server:
    """The server. `faults` holds what happens to the next requests that `applies(method, path)` selects: an HTTP status
    as answer, 'cut' for half of the body, or seconds to wait before it; it is used up request by request."""

    def __init__(self):
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.faults: list[int | str | float] = []
        self.applies: Callable[[str, str], bool] = lambda method, path: True
        self.requests: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda method, path: None
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def environment(self) -> dict[str, str]:
        """Variables by which clients find the server."""
        return KEYS | {"AWS_ENDPOINT_URL": self.address}

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()

    def _answer(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path))
        self.before(method, path)
        fault = self.faults.pop(0) if self.faults and self.applies(method, path) else None
        if isinstance(fault, int):
            start_response(f"{fault} Fault", [("Content-Length", "0")])
            return [b""]
        body = b"".join(self._app(environ, start_response))
        if isinstance(fault, float):
            time.sleep(fault)
        return [body[: len(body) // 2]] if fault == "cut" else [body]
