"""Speech to text of OpenAI's Agents SDK, over the Realtime API: its session, as it is."""

import asyncio

import numpy as np
import pytest
import soxr
from serving import serving

from asr.audio.io import QUALITY
from asr.recognition.config import ListenConfig
from asr.recognition.recognizer import Recognizer
from asr.recognition.streaming import listen
from asr.server.config import ServeConfig

RATE = 24000  # hertz, as the SDK sends
pytestmark = pytest.mark.slow  # importing the SDK takes seconds


@pytest.fixture(scope="module")
def recognizer(model_path):
    return Recognizer.load(model_path, "cpu", voice_activity=False)  # it takes noise for words


@pytest.fixture(scope="module")
def address(recognizer):
    with serving(recognizer, ServeConfig()) as (_, address):
        yield address


@pytest.fixture(autouse=True)
def no_tracing():
    """The SDK would send traces to OpenAI."""
    import agents

    agents.set_tracing_disabled(True)


def sound(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32) / 10


async def turns(address: str, samples: np.ndarray, **settings) -> list[str]:
    """The transcripts of the turns of a stream."""
    from agents.voice import OpenAISTTModel, StreamedAudioInput, STTModelSettings
    from openai import AsyncOpenAI

    source = StreamedAudioInput()
    async with AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client:
        model = OpenAISTTModel("gpt-4o-transcribe", client)
        session = await model.create_session(source, STTModelSettings(**settings), False, False)
        for start in range(0, len(samples), RATE // 10):
            await source.add_audio(samples[start : start + RATE // 10])
        await source.add_audio(None)
        return [text async for text in session.transcribe_turns()]


@pytest.mark.parametrize("kind", ["semantic_vad", "server_vad"])
def test_the_words_are_those_of_the_recogniser(address, recognizer, kind):
    samples = (sound(3.0) * 32767).astype(np.int16)
    at_model_rate = soxr.resample(samples.astype(np.float32) / 32768, RATE, recognizer.sample_rate, quality=QUALITY)
    expected = [word.text for each in listen(recognizer, [at_model_rate], ListenConfig()) for word in each.committed]
    found = asyncio.run(turns(address, samples, turn_detection={"type": kind}))
    assert expected and " ".join(found).split() == expected


def test_a_stream_without_sound_ends(address):
    assert asyncio.run(turns(address, sound(0))) == []


def test_keywords_and_the_prompt_are_preferred(address, monkeypatch):
    asked = []
    monkeypatch.setattr(Recognizer, "with_hotwords", lambda self, phrases: asked.append(phrases) or self)
    assert asyncio.run(turns(address, sound(1.0), prompt="Babbage", keywords=["Ada Lovelace"], language="en"))
    assert asked == [("Ada Lovelace", "Babbage")]
