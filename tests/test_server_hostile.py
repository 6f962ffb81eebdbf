"""Requests of someone who means harm: each gets a reason or a closed connection, within the limits of time."""

import json
import os
import socket
import struct
import time

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import serving
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from asr.recognition.recognizer import Recognizer
from asr.server.config import LimitConfig, ServeConfig
from asr.server.hotwords import MOST_CHARACTERS, MOST_PHRASES, limited, phrases_of

LIMITS = LimitConfig(megabytes=30.0, audio_seconds=60.0, workers=1, waiting=2, idle_seconds=1.0)
FORM = "Content-Type: multipart/form-data; boundary=line"
CHUNK = b"f4240\r\n%b\r\n"  # of 1,000,000 bytes
PART = b'--line\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'


@pytest.fixture(scope="module")
def server(model_path):
    with serving(Recognizer.load(model_path, "cpu"), ServeConfig(limit=LIMITS)) as (_, address):
        yield address


def opened(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def answer(address: str, sent: bytes) -> bytes:
    """What the server says to some bytes before it closes the connection."""
    found = b""
    with opened(address) as stream:
        stream.sendall(sent)
        while more := stream.recv(1 << 16):
            found += more
    return found


def request(path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize("sent", [b"", b"GET /heal", b"GET /health HTTP/1.1\r\nHost: x\r\nAccept"])
def test_a_request_that_does_not_come_is_not_waited_for(server, sent):
    started = time.monotonic()
    assert answer(server, sent) == b""
    assert time.monotonic() - started < 5


def test_nor_a_second_one_of_the_same_connection(server):
    with opened(server) as stream:
        stream.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        found = b""
        while not found.endswith(b"}"):
            found += stream.recv(1 << 16)
        stream.sendall(b"GET /health HTTP/1.1\r\nHo")
        assert stream.recv(1 << 16) == b""


def test_a_quiet_websocket_stays_open_as_long_as_a_slow_one(server):
    with connect(f"{server.replace('http', 'ws')}/vosk") as stream:
        for _ in range(4):
            time.sleep(0.5)
            stream.send(b"\0\0")
            assert json.loads(stream.recv(10))["partial"] == ""


@pytest.mark.parametrize("path", ["/write", "/v1/audio/transcriptions"])
def test_a_body_that_does_not_come_is_not_waited_for(server, path):
    assert b" 408 " in answer(server, request(path, "Content-Length: 100", FORM, body=b"--line"))


@pytest.mark.parametrize("path", ["/write", "/v1/audio/transcriptions"])
def test_too_much_is_refused_before_it_is_sent(server, path):
    with opened(server) as stream:
        stream.sendall(request(path, "Content-Length: 9999999999", FORM, body=b"--line"))
        stream.settimeout(0.9)  # less than `idle_seconds`
        assert b" 413 " in stream.recv(1 << 16)


@pytest.mark.parametrize("path", ["/write", "/v1/audio/transcriptions"])
@pytest.mark.parametrize("length", ["Content-Length: 80000000", "Transfer-Encoding: chunked"])
def test_a_client_that_reads_when_it_has_sent_all_gets_the_refusal(server, path, length):
    pieces = [PART.replace(b'"a"', b'"file"').ljust(1_000_000), *[bytes(1_000_000)] * 79]
    if "chunked" in length:
        pieces = [CHUNK % piece for piece in pieces]
    with opened(server) as stream:
        stream.sendall(request(path, length, FORM))
        for piece in pieces:
            stream.sendall(piece)
        assert b" 413 " in stream.recv(1 << 16)


def test_what_a_client_sends_after_a_refusal_is_not_read_without_end(server, monkeypatch):
    monkeypatch.setattr("asr.server.connections.LINGER_SECONDS", 0.2)
    with opened(server) as stream, pytest.raises(ConnectionError):
        stream.sendall(request("/write", "Transfer-Encoding: chunked"))
        end = time.monotonic() + 10
        while time.monotonic() < end:
            stream.sendall(CHUNK % bytes(1_000_000))


def test_a_request_without_a_body_leaves_the_connection_open(server):
    with httpx.Client() as client:
        for _ in range(2):
            response = client.post(f"{server}/v1/audio/translations")
            assert response.status_code == 400 and "connection" not in response.headers


def test_boundaries_that_are_too_long(server):
    boundary = "b" * 300
    sent = request("/v1/audio/transcriptions", f"Content-Type: multipart/form-data; boundary={boundary}")
    assert b" 400 " in answer(server, sent)


def test_a_form_of_very_many_parts_is_not_read_to_its_end(server):
    headers = {"Content-Type": "multipart/form-data; boundary=line"}
    response = httpx.post(f"{server}/v1/audio/transcriptions", content=PART * 1000, headers=headers)
    assert response.status_code == 400 and "parts" in response.json()["error"]["message"]


BOUNDARY = "line"


@st.composite
def bodies(draw):
    """A form, then some of its bytes changed, cut out or repeated."""
    value = st.text(max_size=20)
    parts = draw(st.lists(st.tuples(st.sampled_from(["file", "model", "stream", "x[]"]), value, value), max_size=4))
    body = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode()
        + f"{content}\r\n".encode()
        for name, file, content in parts
    )
    body += f"--{BOUNDARY}--\r\n".encode()
    for _ in range(draw(st.integers(0, 3))):
        start, end = sorted((draw(st.integers(0, len(body))), draw(st.integers(0, len(body)))))
        body = body[:start] + draw(st.sampled_from([b"", b"\r\n", b"\0", b"--line", body[start:end] * 2])) + body[end:]
    return body


@pytest.fixture(scope="module")
def connection():
    with httpx.Client(timeout=10) as connection:
        yield connection


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=bodies())
def test_malformed_forms_get_a_reason(server, connection, body):
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    response = connection.post(f"{server}/v1/audio/transcriptions", content=body, headers=headers)
    assert 400 <= response.status_code < 500
    assert response.json()["error"]["message"]


def test_malformed_forms_do_not_fill_the_log(server, caplog):
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    assert httpx.post(f"{server}/v1/audio/transcriptions", content=b"x", headers=headers).status_code == 400
    assert not [record for record in caplog.records if record.name.startswith("python_multipart")]


@pytest.mark.parametrize("body", [b'{"x":' + b"[" * 100_000, b"[" * 100_000, b'{"words":[{"x":' + b'{"a":' * 100_000])
def test_deep_json(server, body):
    response = httpx.post(f"{server}/write", content=body)
    assert response.status_code == 400 and response.json()["error"]["message"]


@pytest.mark.parametrize("origin", ["http://[", "null", "https://b.example"])
def test_other_origins(server, origin):
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{server.replace('http', 'ws')}/vosk", additional_headers={"Origin": origin})
    assert refused.value.response.status_code == 403


def test_uploads_are_refused_before_they_are_sent_when_there_are_too_many(server, noise_file):
    halves = [opened(server) for _ in range(LIMITS.workers + LIMITS.waiting)]
    head = request("/v1/audio/transcriptions", "Content-Length: 100000", FORM, body=PART)
    for each in halves:
        each.sendall(head)
    end = time.monotonic() + 10
    while b" 429 " not in (found := answer(server, head)):
        assert time.monotonic() < end, found
    for each in halves:
        each.close()
    files = {"file": noise_file("talk.wav", 1.0).read_bytes()}
    while httpx.post(f"{server}/v1/audio/transcriptions", files=files, data={"model": "whisper-1"}).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_phrases_are_limited():
    assert limited(["a" * MOST_CHARACTERS, "b" * (MOST_CHARACTERS + 1), " ", "c", "c "]) == ("a" * MOST_CHARACTERS, "c")
    assert len(limited(map(str, range(1000)))) == MOST_PHRASES
    assert phrases_of("Lovelace " * 20, ["x" * 1000]) == ()


@pytest.mark.parametrize("stream", ["false", "true"])
def test_a_header_that_hides_how_long_a_recording_is(server, tmp_path, stream):
    av = pytest.importorskip("av")
    path = tmp_path / "long.webm"
    with av.open(path, "w", format="webm") as container:
        track = container.add_stream("libopus", rate=48000, layout="mono")
        for _ in range(100):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), "flt", "mono")
            frame.sample_rate = 48000
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    content = bytearray(path.read_bytes())
    place = content.index(b"\x44\x89\x88") + 3  # Duration, in milliseconds
    content[place : place + 8] = struct.pack(">d", 1000.0)
    files, data = {"file": ("talk.webm", bytes(content))}, {"model": "whisper-1", "stream": stream}
    response = httpx.post(f"{server}/v1/audio/transcriptions", files=files, data=data, timeout=60)
    assert "60 s" in response.text and (stream == "true" or response.status_code == 413)


def test_requests_are_counted_by_path_and_status(server):
    def counted(path: str, status: int) -> float:
        name = f'asr_requests_total{{path="{path}",status="{status}"}} '
        lines = httpx.get(f"{server}/metrics").text.splitlines()
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    before = counted("/health", 200), counted("other", 404), counted("/write", 405)
    for path in ("health", *(os.urandom(4).hex() for _ in range(3)), "write"):
        httpx.get(f"{server}/{path}")
    after = counted("/health", 200), counted("other", 404), counted("/write", 405)
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 3, 1]
