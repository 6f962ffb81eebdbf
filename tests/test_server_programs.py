"""Requests to the REST API with all the fields and headers that other programs send."""

import io
import wave

import httpx
import numpy as np
import pytest
from serving import serving

from asr.recognition.recognizer import Recognizer
from asr.server.config import LimitConfig, ServeConfig


@pytest.fixture(scope="module")
def recognizer(model_path):
    return Recognizer.load(model_path, "cpu")


@pytest.fixture(scope="module")
def address(recognizer):
    with serving(recognizer, ServeConfig(limit=LimitConfig(megabytes=2.0))) as (_, address):
        yield f"{address}/v1/audio/transcriptions"


def test_home_assistant(address, recognizer):
    """An integration for speech to text packs the microphone's samples into WAV, and sends all fields in one form."""
    stream = io.BytesIO()
    samples = np.random.default_rng(1).integers(-3000, 3000, 32_000).astype("<i2")
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    response = httpx.post(
        address,
        headers={"Authorization": "Bearer sk-none"},
        files={"file": ("audio.wav", stream.getvalue(), "audio/wav")},
        data={"model": "whisper-1", "language": "en", "prompt": "", "temperature": "0", "response_format": "json"},
        timeout=30,
    )
    assert response.status_code == 200
    assert response.json()["text"] == recognizer.transcribe(samples.astype(np.float32) / 32_768).text


def test_obsidian(address, tmp_path):
    """Its plugin records WebM in a browser's window, and adds the headers of one."""
    av = pytest.importorskip("av")
    path = tmp_path / "2026-01-01-12-00-00.webm"
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48_000)
        noise = np.random.default_rng(1).standard_normal((1, 96_000)).astype(np.float32) / 10
        frame = av.AudioFrame.from_ndarray(noise, format="flt", layout="mono")
        frame.sample_rate = 48_000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    response = httpx.post(
        address,
        headers={"Authorization": "Bearer sk-none", "Origin": "app://obsidian.md"},
        files={"file": (path.name, path.read_bytes(), "audio/webm;codecs=opus")},
        data={"model": "whisper-1", "language": "en", "prompt": "Kubernetes, Wittgenstein"},
        timeout=30,
    )
    assert response.status_code == 200
    assert response.json()["usage"]["seconds"] == 2


def test_an_upload_in_chunks_has_the_same_limit(address):
    """Nothing tells its size beforehand."""

    def body():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(30):
            yield bytes(100_000)
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = httpx.post(address, headers=headers, content=body(), timeout=30)
    assert response.status_code == 413 and "2 MB" in response.json()["error"]["message"]
