"""Scripts without spaces: what comes in parts is joined as the script is written, whoever streams it."""

import asyncio
import base64
import io
import json
from dataclasses import replace

import httpx
import numpy as np
import openai
import pytest
import soundfile
from serving import serving
from websockets.sync.client import connect
from wyoming.asr import Transcript
from wyoming.audio import AudioChunk, AudioStop
from wyoming.client import AsyncTcpClient

from asr.decoding.beam import BeamDecoder
from asr.decoding.decoder import GreedyDecoder, WordDecoder
from asr.decoding.lexicon import Lexicon
from asr.model.model_file import load_model
from asr.recognition.config import ListenConfig
from asr.recognition.microphone import show
from asr.recognition.recognizer import Recognizer
from asr.recognition.streaming import Update, listen
from asr.server import wyoming
from asr.server.config import LimitConfig, ServeConfig
from asr.server.serve import listening
from asr.server.service import Service
from asr.text.tokenizer import CharacterTokenizer

RATE = 16000


@pytest.fixture(scope="module")
def recognizer(model_path):
    """One whose tokens have no space, and which finds several phrases in noise with a pause."""
    file, random = load_model(model_path), np.random.default_rng(1)
    head = 20 * random.standard_normal(file.weights["head.weight"].shape).astype(np.float32)
    weights, tokenizer = {**file.weights, "head.weight": head}, CharacterTokenizer("设定二十九度播放音")
    return Recognizer(replace(file, weights=weights, tokenizer=tokenizer), "cpu", voice_activity=False)


@pytest.fixture(scope="module")
def sound():
    """Noise, a pause and noise `(samples,)`."""
    levels = np.repeat([0.1, 1e-4, 0.1], np.multiply([4, 2, 4], RATE))
    return (levels * np.random.default_rng(0).standard_normal(len(levels))).astype(np.float32)


@pytest.fixture(scope="module")
def expected(recognizer, sound):
    words = [word.text for update in listen(recognizer, [sound], ListenConfig()) for word in update.committed]
    assert len(words) > 1
    return "".join(words)


def test_a_decoder_knows_what_separates_words():
    characters, letters = CharacterTokenizer("设定"), CharacterTokenizer("ab ")
    assert [GreedyDecoder(each).separator for each in (characters, letters)] == ["", " "]
    assert [WordDecoder(BeamDecoder(each.pieces)).separator for each in (characters, letters)] == ["", " "]
    sounds = ["", "i", "x"]
    for word, separator in (("西", ""), ("she", " ")):
        lexicon = Lexicon.of_pronunciations([(word, ("x", "i"))], sounds)
        assert WordDecoder(BeamDecoder(sounds, lexicon=lexicon)).separator == separator


def test_parts_of_a_recording(recognizer, noise_file):
    path = noise_file("long.wav", 50.0)
    samples, rate = soundfile.read(path)
    samples[19 * rate : 20 * rate] = 0  # where the first part ends
    soundfile.write(path, samples, rate)
    parts = [part.text for part in recognizer.transcribe_parts(path)]
    text = "".join(parts)
    assert len(parts) > 1 and all(parts) and recognizer.transcribe(path).text == text
    with serving(recognizer, ServeConfig()) as (_, address):
        form = {"files": {"file": path.read_bytes()}, "data": {"model": "whisper-1", "stream": "true"}}
        streamed = httpx.post(f"{address}/v1/audio/transcriptions", timeout=60, **form).text
        events = [json.loads(line.removeprefix("data: ")) for line in streamed.splitlines() if line.startswith("data")]
        assert "".join(each["delta"] for each in events if each["type"].endswith("delta")) == text
        assert events[-1]["text"] == text
        words = [{"word": part, "start": 0, "end": 1, "probability": 1} for part in parts]
        edited = {"name": "x", "format": "txt", "duration": 1, "words": words}
        assert httpx.post(f"{address}/write", json=edited).text == text + "\n"
        assert httpx.get(f"{address}/v1/models").json()["data"][0]["separator"] == ""


def test_live_on_the_screen(recognizer, sound, expected):
    screen = io.StringIO()
    show(listen(recognizer, [sound], ListenConfig()), screen, recognizer.separator)
    assert screen.getvalue().replace("\n", "") == expected


def test_wide_characters_that_may_change_stay_on_one_line_of_the_screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    screen = io.StringIO()
    screen.isatty = lambda: True
    show([Update((), "设定二十九度", False, 1.0, 0.1)], screen, "")
    assert screen.getvalue() == "\r\033[K二十九度"


def test_live_over_websockets(recognizer, sound, expected):
    data = (sound * 32767).astype("<i2").tobytes()
    with serving(recognizer, ServeConfig(limit=LimitConfig(streams=1))) as (_, address):
        with connect(f"{address.replace('http', 'ws')}/vosk") as socket:
            socket.send('{"config": {"sample_rate": 16000}}')
            socket.send(data)
            answers = [json.loads(socket.recv(30))]
            socket.send('{"eof" : 1}')
            answers.append(json.loads(socket.recv(30)))
        assert "".join(answer.get("text", "") for answer in answers) == expected

        client = openai.OpenAI(base_url=f"{address}/v1", api_key="none")
        with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            form = {"format": {"type": "audio/pcm", "rate": RATE}, "turn_detection": None}
            connection.session.update(session={"type": "transcription", "audio": {"input": form}})
            connection.input_audio_buffer.append(audio=base64.b64encode(data).decode())
            connection.input_audio_buffer.commit()
            deltas = []
            while not (event := connection.recv()).type.endswith("transcription.completed"):
                deltas += [event.delta] if event.type.endswith("transcription.delta") else []
            assert event.transcript == expected == "".join(deltas)


def test_live_over_wyoming(recognizer, sound, expected):
    async def spoken() -> str:
        listener = listening("127.0.0.1", 0)
        server = await wyoming.start(Service(recognizer, "tiny", ServeConfig()), listener)
        async with server, AsyncTcpClient(*listener.getsockname()) as client:
            for second in np.split(sound, len(sound) // RATE):
                audio = (second * 32767).astype("<i2").tobytes()
                await client.write_event(AudioChunk(rate=RATE, width=2, channels=1, audio=audio).event())
            await client.write_event(AudioStop().event())
            while event := await asyncio.wait_for(client.read_event(), 30):
                if Transcript.is_type(event.type):
                    return Transcript.from_event(event).text
        raise AssertionError("no transcript")

    assert asyncio.run(spoken()) == expected
