"""What a server must bear: a hundred clients at once, slow ones, ones that vanish, jobs that crash, and SIGTERM."""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from serving import serving
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_now

from asr.recognition.config import ListenConfig
from asr.recognition.recognizer import Recognizer
from asr.recognition.streaming import LiveRecognizer, listen
from asr.server.config import LimitConfig, ServeConfig
from asr.transcript import Transcript, Word

ROOT = Path(__file__).parent.parent
RATE = 16000
FILES, STREAMS = 70, 30
LIMITS = LimitConfig(workers=2, waiting=FILES, streams=STREAMS)
SECONDS = 60  # of load by a hundred clients
PATIENCE = 120  # seconds, on a busy machine
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recognizer(model_path):
    return Recognizer.load(model_path, "cpu", voice_activity=False)  # it takes noise for words


def noise(seconds: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32) / 10


def duration_of(client: int) -> float:
    """No two clients have the same, so that their words' times show whose they are."""
    return 0.8 + 0.05 * (client % FILES)


async def file_client(address: str, client: httpx.AsyncClient, number: int, sound: bytes) -> list:
    form = {"model": "whisper-1", "response_format": "verbose_json", "timestamp_granularities[]": "word"}
    files = {"file": (f"{number}.wav", sound)}
    response = await client.post(f"{address}/v1/audio/transcriptions", files=files, data=form)
    assert response.status_code == 200, response.text
    found = response.json()
    return [found["duration"], *((word["word"], word["start"], word["end"]) for word in found["words"])]


async def stream_client(address: str, pcm: bytes) -> list:
    words = []
    async with connect(f"{address.replace('http', 'ws')}/vosk") as stream:
        await stream.send(json.dumps({"config": {"sample_rate": RATE}}))
        pieces = [pcm[start : start + 8000] for start in range(0, len(pcm), 8000)]
        for piece in [*pieces, '{"eof" : 1}']:
            await stream.send(piece)
            answer = json.loads(await stream.recv())
            words += [(word["word"], word["start"], word["end"]) for word in answer.get("result", [])]
    return words


async def hundred_clients(address: str, sounds: list[bytes], pcms: list[bytes]) -> tuple[list, list[float]]:
    """Each client's result and its seconds, all clients at once and in no order."""
    limits = httpx.Limits(max_connections=FILES)
    async with httpx.AsyncClient(timeout=PATIENCE, limits=limits) as client:

        async def timed(job) -> tuple[list, float]:
            started = time.perf_counter()
            return await job, time.perf_counter() - started

        jobs = [timed(file_client(address, client, number, sound)) for number, sound in enumerate(sounds)]
        jobs += [timed(stream_client(address, pcm)) for pcm in pcms]
        order = random.Random(0).sample(range(len(jobs)), len(jobs))
        found = await asyncio.gather(*(jobs[place] for place in order))
    results = [result for _, result in sorted(zip(order, found, strict=True), key=lambda each: each[0])]
    return [result for result, _ in results], [seconds for _, seconds in results]


def resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_a_hundred_clients_at_once_get_their_own_words(recognizer, tmp_path, capsys):
    sounds, pcms, expected = [], [], []
    for number in range(FILES + STREAMS):
        path, samples = tmp_path / f"{number}.wav", noise(duration_of(number), number)
        soundfile.write(path, samples, RATE)
        samples, _ = soundfile.read(path, dtype="float32")
        if number < FILES:
            sounds.append(path.read_bytes())
            found = recognizer.transcribe(path)
            expected.append([round(found.duration, 3), *((word.text, word.start, word.end) for word in found.words)])
        else:
            pcms.append((samples * 32768).astype("<i2").tobytes())
            words = [word for update in listen(recognizer, [samples], ListenConfig()) for word in update.committed]
            expected.append([(word.text, word.start, word.end) for word in words])
    assert len(set(map(str, expected))) >= len(expected) - 5
    with serving(recognizer, ServeConfig(limit=LIMITS)) as (_, address):
        memory, waits, end = [], [], time.monotonic() + SECONDS
        while len(memory) < 2 or time.monotonic() < end:
            found, seconds = asyncio.run(hundred_clients(address, sounds, pcms))
            assert found == expected
            memory.append(resident_megabytes())
            waits.append(seconds)
    with capsys.disabled():
        for name, part in (("files", slice(FILES)), ("streams", slice(FILES, None))):
            times = [wait for round in waits for wait in round[part]]
            p50, p95 = np.percentile(times, [50, 95])
            print(f"\n{len(times)} {name}: median {p50:.2f} s, 95% {p95:.2f} s, most {max(times):.2f} s", end="")
        print(f"; memory after each round, MB: {', '.join(f'{each:.0f}' for each in memory)}")
    assert memory[-1] - memory[len(memory) // 4] < 50, "the first rounds fill the allocator's arenas"


@pytest.fixture
def server(recognizer):
    with serving(recognizer, ServeConfig(limit=LimitConfig(streams=2, idle_seconds=30.0))) as (service, address):
        yield service, address


@pytest.fixture
def sound(tmp_path):
    soundfile.write(tmp_path / "talk.wav", noise(1.0, 0), RATE)
    return (tmp_path / "talk.wav").read_bytes()


def post(address: str, sound: bytes, **fields) -> httpx.Response:
    form = {"model": "whisper-1", **fields}
    return httpx.post(f"{address}/v1/audio/transcriptions", files={"file": sound}, data=form, timeout=PATIENCE)


def request_bytes(sound: bytes, **fields: str) -> bytes:
    """A whole upload as it goes over the wire."""
    form = {"model": "whisper-1", **fields}
    request = httpx.Request("POST", "http://x/v1/audio/transcriptions", files={"file": sound}, data=form)
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    head = "\r\n".join(["POST /v1/audio/transcriptions HTTP/1.1", *lines, "Connection: close"])
    return head.encode() + b"\r\n\r\n" + request.read()


def opened(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


def received(stream: socket.socket) -> bytes:
    answer = b""
    while more := stream.recv(1 << 16):
        answer += more
    return answer


def test_slow_uploads_hold_up_nobody(server, sound):
    _, address = server
    data = request_bytes(sound)
    slow = [opened(address) for _ in range(10)]
    for stream in slow:
        stream.sendall(data[: len(data) // 2])
    assert post(address, sound).status_code == 200
    for stream in slow:
        stream.sendall(data[len(data) // 2 :])
    for stream in slow:
        assert received(stream).startswith(b"HTTP/1.1 200 ")
        stream.close()


def test_uploads_that_end_halfway_leave_nothing_behind(server, sound, tmp_path, monkeypatch):
    _, address = server
    (tmp_path / "uploads").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "uploads"))
    data = request_bytes(sound)
    for size in (10, 400, len(data) // 2, len(data) - 1):
        with opened(address) as stream:
            stream.sendall(data[:size])
    assert post(address, sound).status_code == 200
    wait_until(lambda: not list((tmp_path / "uploads").iterdir()))


def wait_until(condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_streams_that_vanish_free_their_places(server):
    service, address = server
    for _ in range(3):
        streams = [connect_now(f"{address.replace('http', 'ws')}/vosk") for _ in range(2)]
        for stream in streams:
            stream.send(b"\0" * 16000)
            stream.recv(PATIENCE)
        assert service.streams.open == 2
        for stream in streams:
            stream.socket.shutdown(socket.SHUT_RDWR)  # without a closing message
        wait_until(lambda: service.streams.open == 0)


def test_clients_that_do_not_read_are_given_up(recognizer, sound, monkeypatch):
    def endless(*_):
        for second in range(1, 10_000_000):
            time.sleep(0.001)
            yield Transcript("a" * 10_000, (Word("a", second - 1, second, 1.0),), second)

    monkeypatch.setattr(recognizer, "transcribe_parts", endless)
    monkeypatch.setattr("asr.server.vosk.Session._result", lambda self: {"text": "a" * 1_000_000})
    with serving(recognizer, ServeConfig(limit=LimitConfig(idle_seconds=1.0))) as (service, address):
        with opened(address) as stream:
            stream.sendall(request_bytes(sound, stream="true"))
            wait_until(lambda: service.jobs.running == 1)
            wait_until(lambda: service.jobs.running == 0)
        with connect_now(f"{address.replace('http', 'ws')}/vosk", max_queue=1) as stream:
            wait_until(lambda: service.streams.open == 1)
            with contextlib.suppress(ConnectionClosed):
                for _ in range(50):
                    stream.send('{"reset" : 1}')
            wait_until(lambda: service.streams.open == 0)


def test_jobs_that_crash_take_nothing_along(server, sound, monkeypatch):
    service, address = server

    def crash(*_):
        raise ValueError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(service.recognizer, "transcribe", crash)
        patched.setattr(service.recognizer, "transcribe_parts", crash)
        patched.setattr(LiveRecognizer, "push", crash)
        assert post(address, sound).status_code == 500
        events = post(address, sound, stream="true").text
        assert '"internal_error"' in events and "a bug" not in events
        with connect_now(f"{address.replace('http', 'ws')}/vosk") as stream:
            stream.send(b"\0" * 16000)
            with pytest.raises(ConnectionClosed) as closed:
                stream.recv(PATIENCE)
        assert closed.value.rcvd.code == 1011 and closed.value.rcvd.reason
    assert service.streams.open == 0 and service.jobs.running == 0
    assert post(address, sound).status_code == 200


def test_sigterm_finishes_what_runs(model_path, tmp_path):
    long = tmp_path / "long.flac"
    soundfile.write(long, noise(900.0, 0), RATE)
    command = [sys.executable, "-m", "asr", "serve", "--model", model_path, "--port", "0", "--no_voice_activity"]
    command += ["--limit.shutdown_seconds", str(PATIENCE)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            address = re.search(r"http://\S+", process.stderr.readline())[0]
            answers = []
            client = threading.Thread(target=lambda: answers.append(post(address, long.read_bytes())))
            client.start()
            wait_until(lambda: "asr_jobs_running 1.0" in httpx.get(f"{address}/metrics").text)
            process.send_signal(signal.SIGTERM)
            client.join(PATIENCE)
            assert answers[0].status_code == 200 and answers[0].json()["usage"]["seconds"] == 900
            assert process.wait(PATIENCE) == 0
            assert process.stderr.read() == "", "the log has no text of what was said"
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{address}/ready")
        finally:
            process.kill()
