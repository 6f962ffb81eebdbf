"""A stand-in for the Hugging Face Hub on loopback: one model repository, filled by a commit and read by ranges."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "a" * 40


class HubServer:
    """The server; `files` holds the repository's contents by path."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path.endswith("/repos/create"):
                    self._json({"url": f"{hub.address}/user/name"})
                elif "/preupload/" in self.path:
                    paths = [file["path"] for file in json.loads(body)["files"]]
                    modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
                    self._json({"files": modes})
                elif "/commit/" in self.path:
                    for line in map(json.loads, body.splitlines()):
                        if line["key"] == "file":
                            hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                    self._json({"commitOid": COMMIT, "commitUrl": f"{hub.address}/user/name/commit/{COMMIT}"})
                elif "/paths-info/" in self.path:
                    asked = json.loads(body)["paths"] if body[:1] == b"{" else re.findall(rb"paths=([^&]+)", body)
                    names = [name if isinstance(name, str) else name.decode() for name in asked]
                    self._json([hub.entry(name) for name in names if name in hub.files])
                else:
                    self._json({"errors": [], "warnings": []})  # of the card

            def do_GET(self) -> None:
                if "/resolve/" in self.path:
                    self._file(re.split(r"/resolve/[^/]+/", self.path)[1].partition("?")[0])
                elif "/tree/" in self.path:
                    self._json([hub.entry(name) for name in hub.files])
                elif "/refs" in self.path:
                    self._json({"branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}]})
                else:
                    siblings = [{"rfilename": name} for name in hub.files]
                    self._json({"id": "user/name", "sha": COMMIT, "private": False, "siblings": siblings, "tags": []})

            do_HEAD = do_GET  # noqa: N815

            def _file(self, name: str) -> None:
                if name not in hub.files:
                    return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
                data = hub.files[name]
                found = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
                marks = {"ETag": f'"{hub.entry(name)["oid"]}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
                if not found:
                    return self._send(200, data, marks)
                start, end = int(found[1]), int(found[2] or len(data) - 1) + 1
                part = {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
                return self._send(206, data[start:end], marks | part)

            def _json(self, value) -> None:
                self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

            def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def entry(self, name: str) -> dict:
        """A file as listings show it."""
        data = self.files[name]
        return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
