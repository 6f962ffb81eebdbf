"""Live protocols over WebSocket: Vosk's by its example client's messages, OpenAI's Realtime API by OpenAI's client, and
malformed messages, which close the connection with a reason."""

import base64
import json
import threading

import httpx
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from asr.recognition.config import ListenConfig
from asr.recognition.recognizer import Recognizer
from asr.recognition.streaming import listen
from asr.server.companding import a_law, mu_law
from asr.server.config import LimitConfig, ServeConfig

LIMITS = LimitConfig(streams=2, workers=2)


@pytest.fixture(scope="module")
def recognizer(model_path):
    return Recognizer.load(model_path, "cpu", voice_activity=False)  # it takes noise for words


@pytest.fixture(scope="module")
def server(recognizer):
    with serving(recognizer, ServeConfig(limit=LIMITS)) as (_, address):
        yield address.replace("http", "ws")


def noise(seconds: float, rate: int = 16000, seed: int = 0) -> bytes:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * rate)) * 3000
    return samples.astype("<i2").tobytes()


@pytest.fixture(scope="module")
def expected(recognizer):
    """The words of some samples, by the recogniser alone."""

    def words(data: bytes) -> list[str]:
        samples = np.frombuffer(data, "<i2").astype(np.float32) / 32768
        updates = list(listen(recognizer, [samples], ListenConfig()))
        return [word.text for update in updates for word in update.committed]

    return words


def vosk_client(address: str, data: bytes, config: dict, frame: int = 8000) -> list[dict]:
    """The messages of vosk-server's websocket/test.py, which waits for one answer after each frame."""
    with connect(address) as socket:
        socket.send(json.dumps({"config": config}))
        answers = []
        for start in range(0, len(data), frame):
            socket.send(data[start : start + frame])
            answers.append(json.loads(socket.recv(10)))
        socket.send('{"eof" : 1}')
        answers.append(json.loads(socket.recv(10)))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
        assert closed.value.rcvd.code == 1000
    return answers


@pytest.mark.parametrize("path", ["/vosk", ""])
@pytest.mark.parametrize("frame", [8000, 7777])
def test_vosk(server, expected, path, frame):
    data = noise(6.0)
    answers = vosk_client(server + path, data, {"sample_rate": 16000}, frame)
    results = [answer for answer in answers if "text" in answer]
    assert all(list(answer) == ["partial"] for answer in answers if answer not in results)
    assert any(answer.get("partial") for answer in answers)
    assert " ".join(result["text"] for result in results).split() == expected(data)
    for result in results:
        assert " ".join(word["word"] for word in result.get("result", [])) == result["text"]
    words = [word for result in results for word in result.get("result", [])]
    assert all(0 <= word["start"] <= word["end"] <= 6.1 and 0 <= word["conf"] <= 1 for word in words)


def test_vosk_options(server):
    data = noise(2.0, 8000)
    assert "result" not in vosk_client(f"{server}/vosk", data, {"sample_rate": 8000.0, "words": False})[-1]
    (best,) = vosk_client(f"{server}/vosk", data, {"max_alternatives": 3})[-1]["alternatives"]
    assert best["text"] and 0 <= best["confidence"] <= 1


@pytest.fixture
def preferred(monkeypatch):
    """The phrases that recognisers have been asked to prefer."""
    asked = []
    monkeypatch.setattr(Recognizer, "with_hotwords", lambda self, phrases: asked.append(phrases) or self)
    return asked


def test_vosk_phrases_are_preferred(server, preferred):
    vosk_client(f"{server}/vosk", noise(1.0), {"sample_rate": 16000, "phrase_list": ["oh one", "zero", "[unk]"]})
    assert preferred == [("oh one", "zero")]


def test_phrases_that_take_long_to_prepare_hold_up_no_other_stream(recognizer, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(Recognizer, "with_hotwords", lambda self, _: release.wait(20) and self)
    with serving(recognizer, ServeConfig(limit=LimitConfig(workers=1))) as (_, address):
        url = address.replace("http", "ws") + "/vosk"
        with connect(url) as slow:
            slow.send('{"config": {"sample_rate": 16000, "phrase_list": ["zero"]}}')
            slow.send(noise(1.0))
            assert vosk_client(url, noise(1.0), {"sample_rate": 16000})
            assert not release.is_set()
            release.set()
            assert slow.recv(10)


def test_vosk_reset_begins_anew(server, expected):
    data = noise(3.0)
    with connect(f"{server}/vosk") as socket:
        socket.send('{"config": {"sample_rate": 16000}}')
        for _ in range(2):
            socket.send(data)
            first = json.loads(socket.recv(10)).get("text", "")
            socket.send('{"reset" : 1}')
            assert f"{first} {json.loads(socket.recv(10))['text']}".split() == expected(data)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (["no JSON"], "JSON"),
        (["[1]"], "object"),
        (["{}"], "config"),
        (['{"config": 1}'], "config"),
        (['{"config": {"sample_rate": 1}}'], "sample_rate"),
        (['{"config": {"sample_rate": "fast"}}'], "sample_rate"),
        (['{"config": {"sample_rate": NaN}}'], "sample_rate"),
        (['{"config": {"max_alternatives": -1}}'], "max_alternatives"),
        (['{"config": {"phrase_list": "a"}}'], "phrase_list"),
        (['{"config": {"phrase_list": [1]}}'], "phrase_list"),
        ([b"1234", '{"config": {"sample_rate": 44100}}'], "after audio"),
    ],
)
def test_vosk_malformed(server, messages, reason):
    with connect(f"{server}/vosk") as socket:
        for message in messages:
            socket.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(10)
        assert closed.value.rcvd.code == 1007 and reason in closed.value.rcvd.reason


def test_a_client_that_stops_sending_is_given_up(recognizer):
    with serving(recognizer, ServeConfig(limit=LimitConfig(idle_seconds=0.5))) as (_, address):
        url = address.replace("http", "ws") + "/vosk"
        with connect(url) as socket, pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd.code == 1008 and "0.5 s" in closed.value.rcvd.reason


def test_more_streams_than_places_are_refused(server):
    with connect(f"{server}/vosk") as one, connect(f"{server}/vosk") as two:
        for socket in (one, two):
            socket.send(b"12")
            socket.recv(10)
        with connect(f"{server}/vosk") as three, pytest.raises(ConnectionClosed) as closed:
            three.recv(10)
        assert closed.value.rcvd.code == 1013 and closed.value.rcvd.reason
    vosk_client(f"{server}/vosk", b"12", {})


def test_origins_and_keys(recognizer):
    config = ServeConfig(cors=("https://a.example",), limit=LIMITS)
    with serving(recognizer, config, ["right"]) as (_, address):
        url = address.replace("http", "ws") + "/vosk"
        key = {"Authorization": "Bearer right"}
        for headers in ({}, {"Authorization": "Bearer wrong"}, key | {"Origin": "https://b.example"}):
            with pytest.raises(InvalidStatus):
                connect(url, additional_headers=headers)
        for headers in (key, key | {"Origin": "https://a.example"}, key | {"Origin": address}):
            with connect(url, additional_headers=headers):
                pass
        with connect(url, subprotocols=["realtime", "openai-insecure-api-key.right"]) as socket:
            assert socket.subprotocol == "realtime"


@pytest.fixture
def realtime(server):
    import openai

    client = openai.OpenAI(base_url=server.replace("ws", "http") + "/v1", api_key="none")
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        assert connection.recv().type == "session.created"
        yield connection


def session(**given) -> dict:
    return {"type": "transcription", "audio": {"input": given}}


def append(connection, data: bytes) -> None:
    for start in range(0, len(data), 9999):
        connection.input_audio_buffer.append(audio=base64.b64encode(data[start : start + 9999]).decode())


def until(connection, kind: str) -> list:
    events = [connection.recv()]
    while events[-1].type != kind:
        assert events[-1].type != "error", events[-1]
        events.append(connection.recv())
    return events


COMPLETED = "conversation.item.input_audio_transcription.completed"
DELTA = "conversation.item.input_audio_transcription.delta"


def test_realtime_without_turn_detection(realtime, expected):
    form = {"type": "audio/pcm", "rate": 16000}
    realtime.session.update(
        session=session(format=form, turn_detection=None, transcription={"model": "whisper-1"})
        | {"include": ["item.input_audio_transcription.logprobs"]}
    )
    updated = until(realtime, "session.updated")[-1].session
    assert updated.audio.input.turn_detection is None and updated.audio.input.format.rate == 16000
    previous = None
    for seed in (0, 1):
        data = noise(3.0, seed=seed)
        append(realtime, data)
        realtime.input_audio_buffer.commit()
        events = until(realtime, COMPLETED)
        done = events[-1]
        assert done.transcript.split() == expected(data)
        assert "".join(event.delta for event in events if event.type == DELTA) == done.transcript
        assert "".join(each.token for each in done.logprobs) == done.transcript
        assert done.usage.seconds == pytest.approx(3.0, abs=0.05)
        (committed,) = [event for event in events if event.type == "input_audio_buffer.committed"]
        assert committed.item_id == done.item_id and committed.previous_item_id == previous
        previous = done.item_id


def test_realtime_prompt(realtime, preferred):
    transcription = {"model": "whisper-1", "prompt": "Ada Lovelace, Babbage"}
    realtime.session.update(session=session(turn_detection=None, transcription=transcription))
    assert until(realtime, "session.updated")[-1].session.audio.input.transcription.prompt == transcription["prompt"]
    append(realtime, noise(1.0, 24000))
    realtime.input_audio_buffer.commit()
    until(realtime, COMPLETED)
    assert preferred == [("Ada Lovelace", "Babbage")]


def test_realtime_turns(realtime):
    append(realtime, noise(3.0, 24000))
    realtime.input_audio_buffer.commit()
    events = until(realtime, COMPLETED)
    kinds = [event.type.rpartition(".")[-1] for event in events]
    assert kinds[0] == "speech_started" and kinds[-3:] == ["speech_stopped", "committed", "completed"]
    assert 0 <= events[0].audio_start_ms < events[-3].audio_end_ms <= 3100
    assert len({event.item_id for event in events}) == 1


def test_realtime_clear(realtime, expected):
    append(realtime, noise(2.0, 24000))
    realtime.input_audio_buffer.clear()
    until(realtime, "input_audio_buffer.cleared")
    realtime.input_audio_buffer.commit()
    error = realtime.recv()
    assert error.type == "error" and error.error.code == "input_audio_buffer_commit_empty"
    append(realtime, noise(3.0, 24000))
    realtime.input_audio_buffer.commit()
    started, *_, stopped, _, done = until(realtime, COMPLETED)
    assert 2000 <= started.audio_start_ms < stopped.audio_end_ms == pytest.approx(5000, abs=50)
    assert done.usage.seconds == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("law", ["u", "a"])
def test_realtime_telephone_audio(realtime, law, older):
    if older:
        update = {"input_audio_format": f"g711_{law}law", "turn_detection": {"type": "server_vad"}}
        realtime.send({"type": "transcription_session.update", "session": update})
        assert realtime.recv().type == "transcription_session.updated"
    else:
        realtime.session.update(session=session(format={"type": f"audio/pcm{law}"}))
        until(realtime, "session.updated")
    append(realtime, np.random.default_rng(0).integers(0, 256, 16000, np.uint8).tobytes())
    realtime.input_audio_buffer.commit()
    assert until(realtime, COMPLETED)[-1].usage.seconds == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(("subtype", "decode"), [("ULAW", mu_law), ("ALAW", a_law)])
def test_companding_is_that_of_libsndfile(tmp_path, subtype, decode):
    codes = bytes(range(256))
    (tmp_path / "x.raw").write_bytes(codes)
    peer, _ = soundfile.read(tmp_path / "x.raw", samplerate=8000, channels=1, subtype=subtype, format="RAW")
    np.testing.assert_allclose(decode(codes), peer, atol=1e-7)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.create"},
        {"type": 3, "event_id": "mine"},
        {},
        {"type": "input_audio_buffer.append"},
        {"type": "input_audio_buffer.append", "audio": "!"},
        {"type": "session.update"},
        {"type": "session.update", "session": session(format={"type": "audio/mp3"})},
        {"type": "session.update", "session": session(format={"type": "audio/pcm", "rate": "x"})},
        {"type": "session.update", "session": session(format=[])},
        {"type": "session.update", "session": session(turn_detection={"type": []})},
        {"type": "session.update", "session": session(transcription={"keywords": [1]})},
        {"type": "session.update", "session": session(transcription={"language": "de"})},
        {"type": "transcription_session.update", "session": {"input_audio_format": {}}},
    ],
)
def test_realtime_events_that_cannot_be_obeyed(server, event):
    """An error object, and the session goes on, as OpenAI's does."""
    with connect(f"{server}/v1/realtime?intent=transcription") as socket:
        socket.recv(10)
        socket.send(json.dumps(event))
        answer = json.loads(socket.recv(10))
        assert answer["type"] == "error" and answer["error"]["message"]
        assert answer["error"]["event_id"] == event.get("event_id")
        socket.send(json.dumps({"type": "session.update", "session": session()}))
        assert json.loads(socket.recv(10))["type"] == "session.updated"


SETTINGS = ["format", "include", "input", "rate", "session", "transcription", "turn_detection", "type"]
NAMES = st.sampled_from([*SETTINGS, "audio", "config", "eof", "event_id", "max_alternatives", "reset", "sample_rate"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from(["session.update", "input_audio_buffer.append", "transcription_session.update", "x"])


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/vosk", "/v1/realtime"])
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(message=st.text(max_size=30) | st.binary(max_size=30) | st.dictionaries(NAMES, VALUES), kind=KINDS)
def test_malformed_messages_get_an_answer_or_a_reason(server, path, message, kind):
    if isinstance(message, dict):
        message = json.dumps(message | ({"type": kind} if "type" not in message else {}))
    with connect(server + path) as socket:
        try:
            socket.send(message)
            socket.send('{"eof": 1}' if path == "/vosk" else '{"type": "input_audio_buffer.commit"}')
            if path == "/v1/realtime":
                socket.recv(10)
            assert json.loads(socket.recv(10))
        except ConnectionClosed as closed:
            assert closed.rcvd.code == 1000 or (closed.rcvd.code == 1007 and closed.rcvd.reason)


def test_live_audio_is_counted(server):
    def seconds() -> float:
        lines = httpx.get(server.replace("ws", "http") + "/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("asr_audio_seconds_total "))

    before = seconds()
    vosk_client(f"{server}/vosk", noise(1.5), {"sample_rate": 16000})
    assert seconds() - before == pytest.approx(1.5)


def test_metrics_count_streams(server):
    with connect(f"{server}/vosk") as socket:
        socket.send(b"12")
        socket.recv(10)
        assert "asr_live_streams 1.0" in httpx.get(server.replace("ws", "http") + "/metrics").text
