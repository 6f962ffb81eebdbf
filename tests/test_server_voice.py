"""Wyoming by its own package's client, MCP by the official SDK's client with `asr mcp` as a process."""

import asyncio
import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from wyoming.asr import Transcribe, Transcript, TranscriptChunk
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info

from asr.recognition.config import ListenConfig
from asr.recognition.recognizer import Recognizer
from asr.recognition.streaming import LiveRecognizer, listen
from asr.server import wyoming
from asr.server.config import LimitConfig, ServeConfig
from asr.server.serve import listening
from asr.server.service import Service

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def recognizer(model_path):
    return Recognizer.load(model_path, "cpu", voice_activity=False)  # it takes noise for words


@pytest.fixture(scope="module")
def port(recognizer):
    service = Service(recognizer, "tiny", ServeConfig(limit=LimitConfig(streams=1)))
    listener = listening("127.0.0.1", 0)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(wyoming.start(service, listener), loop).result(10)
    yield listener.getsockname()[1]
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def samples(seconds: float, channels: int = 1) -> np.ndarray:
    mono = np.random.default_rng(0).standard_normal((round(seconds * 16000), 1)) * 3000
    return np.repeat(mono, channels, axis=1).astype("<i2")


async def spoken(port: int, sound: np.ndarray, language: str = "en") -> tuple[list[str], str]:
    """The chunks and the transcript of a recording, sent as Home Assistant sends it."""
    async with AsyncTcpClient("127.0.0.1", port) as client:
        form = {"rate": 16000, "width": 2, "channels": sound.shape[1]}
        await client.write_event(Transcribe(language=language).event())
        await client.write_event(AudioStart(**form).event())
        for start in range(0, len(sound), 1024):
            await client.write_event(AudioChunk(**form, audio=sound[start : start + 1024].tobytes()).event())
        await client.write_event(AudioStop().event())
        chunks = []
        while event := await asyncio.wait_for(client.read_event(), 20):
            if TranscriptChunk.is_type(event.type):
                chunks.append(TranscriptChunk.from_event(event).text)
            if Transcript.is_type(event.type):
                return chunks, Transcript.from_event(event).text
    raise AssertionError("no transcript")


@pytest.mark.parametrize("channels", [1, 2])
def test_the_words_are_those_of_the_recogniser(port, recognizer, channels):
    sound = samples(3.0, channels)
    chunks, text = asyncio.run(spoken(port, sound))
    updates = listen(recognizer, [sound[:, 0].astype(np.float32) / 32768], ListenConfig())
    assert text.split() == [word.text for update in updates for word in update.committed]
    assert text and "".join(chunks) == text


def test_another_language_is_answered_with_one_warning(port, caplog):
    sound = samples(2.0)
    expected = asyncio.run(spoken(port, sound, "en-GB"))
    assert not caplog.messages
    assert [asyncio.run(spoken(port, sound, "de\n")) for _ in range(2)] == [expected] * 2
    (warning,) = caplog.messages
    assert "the model is for 'en', not for 'de\\n'" in warning


def test_an_end_without_a_beginning_has_an_empty_transcript(port):
    async def answered() -> str:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(AudioStop().event())
            return Transcript.from_event(await asyncio.wait_for(client.read_event(), 10)).text

    assert asyncio.run(answered()) == ""


def test_describe(port):
    async def described() -> Info:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Describe().event())
            return Info.from_event(await asyncio.wait_for(client.read_event(), 10))

    (program,) = asyncio.run(described()).asr
    assert program.installed and program.supports_transcript_streaming
    assert [(model.name, model.languages) for model in program.models] == [("tiny", ["en"])]


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"no JSON\n",
        b"[]\n",
        b"{}\n",
        b'{"type": "describe", "data": 3}\n',
        b'{"type": "audio-start"}\n',
        b'{"type": "audio-start", "data": {"rate": 16000, "width": 4, "channels": 1}}\n',
        b'{"type": "audio-start", "data": {"rate": 16000, "width": 2, "channels": 1.0}}\n',
        b'{"type": "audio-chunk", "data_length": 3}\n{{{',
        b'{"type": "audio-chunk", "payload_length": 99999999}\n',
        b'{"type": "audio-chunk", "payload_length": -1}\n',
        b'{"type": "x", "data": "' + b"x" * 100_000 + b'"}\n',
    ],
)
def test_malformed_events_get_a_reason(port, sent):
    async def answered() -> Error:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        header = json.loads(await asyncio.wait_for(reader.readline(), 10))
        data = json.loads(await reader.readexactly(header["data_length"]))
        writer.close()
        assert header["type"] == "error"
        return data

    assert asyncio.run(answered())["text"]


def test_a_ping_comes_back_whatever_it_holds(port):
    async def answered() -> tuple[str, dict]:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Event("ping", {"kind": 1, "self": 2, "text": "x"}))
            event = await asyncio.wait_for(client.read_event(), 10)
            return event.type, event.data

    assert asyncio.run(answered()) == ("pong", {"kind": 1, "self": 2, "text": "x"})


def test_a_stream_that_crashes_says_so_and_frees_its_place(port, monkeypatch):
    def crash(*_):
        raise ValueError("a bug")

    async def failed() -> Error:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            form = {"rate": 16000, "width": 2, "channels": 1}
            await client.write_event(AudioChunk(**form, audio=b"\0" * 32000).event())
            while event := await asyncio.wait_for(client.read_event(), 10):
                if Error.is_type(event.type):
                    return Error.from_event(event)
        raise AssertionError("no error")

    with monkeypatch.context() as patched:
        patched.setattr(LiveRecognizer, "push", crash)
        error = asyncio.run(failed())
    assert error.code == "failed" and "a bug" not in error.text
    assert asyncio.run(spoken(port, samples(1.0)))


def test_a_second_stream_is_refused_until_the_first_has_left(port):
    async def both() -> str:
        form = {"rate": 16000, "width": 2, "channels": 1}
        async with AsyncTcpClient("127.0.0.1", port) as one, AsyncTcpClient("127.0.0.1", port) as two:
            await one.write_event(AudioStart(**form).event())
            assert (await one.read_event()).type == "transcript-start"
            await two.write_event(AudioStart(**form).event())
            return Error.from_event(await asyncio.wait_for(two.read_event(), 10)).code

    assert asyncio.run(both()) == "busy"
    assert asyncio.run(spoken(port, samples(1.0)))


@pytest.mark.slow
def test_mcp(model_path, noise_file):
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    sound = noise_file("talk.wav", 3.0)
    expected = Recognizer.load(model_path, "cpu").transcribe(sound)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    line = ["-m", "asr", "mcp", "--model", str(model_path)]
    parameters = StdioServerParameters(command=sys.executable, args=line, env=environment)

    async def called() -> tuple:
        async with Client(stdio_client(parameters)) as client:
            (tool,) = (await client.list_tools()).tools
            assert set(tool.input_schema["properties"]) == {"path", "language", "timestamps"}
            good = await client.call_tool(tool.name, {"path": str(sound), "timestamps": True})
            missing = await client.call_tool(tool.name, {"path": str(sound) + "x"})
            other = await client.call_tool(tool.name, {"path": str(sound), "language": "german"})
            return good, missing, other

    good, missing, other = asyncio.run(called())
    assert not good.is_error
    assert good.structured_content["text"] == expected.text
    assert [word["start"] for word in good.structured_content["words"]] == [word.start for word in expected.words]
    assert missing.is_error and "talk.wavx" in missing.content[0].text
    assert other.is_error and "not for 'german'" in other.content[0].text
