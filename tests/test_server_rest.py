"""OpenAI's REST API: by OpenAI's own client and by requests as other programs make them."""

import asyncio
import gc
import io
import json
import random
import socket
import threading
import time

import httpx
import pytest
import soundfile
import srt
import webvtt
from serving import serving

from asr.errors import AudioError, ConfigError
from asr.recognition.recognizer import Recognizer
from asr.server.access import read_keys
from asr.server.config import LimitConfig, ServeConfig
from asr.server.hotwords import phrases_of
from asr.server.jobs import JobPool
from asr.server.metrics import Metrics
from asr.server.serve import listening
from asr.transcript import Transcript, Word

LIMITS = LimitConfig(megabytes=2.0, audio_seconds=60.0, workers=2, waiting=2, idle_seconds=2.0)


@pytest.fixture(scope="module")
def recognizer(model_path):
    return Recognizer.load(model_path, "cpu")


@pytest.fixture(scope="module")
def server(recognizer):
    with serving(recognizer, ServeConfig(limit=LIMITS)) as (_, address):
        yield address


@pytest.fixture
def client(server):
    import openai

    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def sound(noise_file):
    return noise_file("talk.wav", 3.0)


def post(server, sound=None, *, data=None, **fields):
    files = {"file": ("talk.wav", data if data is not None else sound.read_bytes())}
    values = {"model": "whisper-1", **fields}
    return httpx.post(f"{server}/v1/audio/transcriptions", files=files, data=values, timeout=30)


def test_the_words_are_those_of_the_recogniser(client, recognizer, sound):
    expected = recognizer.transcribe(sound)
    assert expected.text
    with sound.open("rb") as file:
        found = client.audio.transcriptions.create(model="whisper-1", file=file)
    assert found.text == expected.text
    assert found.usage.type == "duration" and found.usage.seconds == 3


def test_verbose_json_has_segments_and_words(client, recognizer, sound):
    expected = recognizer.transcribe(sound)
    found = client.audio.transcriptions.create(
        model="tiny", file=sound, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert (found.text, found.duration, found.language) == (expected.text, 3.0, "english")
    assert [(word.word, word.start, word.end) for word in found.words] == [
        (word.text, word.start, word.end) for word in expected.words
    ]
    assert " ".join(segment.text for segment in found.segments) == expected.text
    assert [segment.id for segment in found.segments] == list(range(len(found.segments)))
    assert all(segment.avg_logprob <= 0 and segment.compression_ratio > 0 for segment in found.segments)


def test_subtitles_and_text(client, recognizer, sound):
    text = recognizer.transcribe(sound).text
    made = {
        kind: client.audio.transcriptions.create(model="whisper-1", file=sound, response_format=kind)
        for kind in ("srt", "vtt", "text")
    }
    assert made["text"].strip() == text
    assert " ".join(" ".join(cue.content.split()) for cue in srt.parse(made["srt"])) == text
    cues = webvtt.from_buffer(io.StringIO(made["vtt"]))
    assert " ".join(" ".join(cue.text.split()) for cue in cues) == text


def test_log_probabilities_spell_the_text(client, sound):
    found = client.audio.transcriptions.create(model="whisper-1", file=sound, include=["logprobs"])
    assert "".join(each.token for each in found.logprobs) == found.text
    assert all(each.logprob <= 0 and bytes(map(int, each.bytes)).decode() == each.token for each in found.logprobs)


def test_a_stream_has_the_same_words(client, recognizer, noise_file):
    long = noise_file("long.wav", 50.0)
    samples, rate = soundfile.read(long)
    samples[19 * rate : 20 * rate] = 0  # where the first part ends
    soundfile.write(long, samples, rate)
    transcript = recognizer.transcribe(long)
    expected = transcript.text
    events = list(
        client.audio.transcriptions.create(
            model="whisper-1",
            file=long,
            stream=True,
            include=["logprobs"],
            extra_body={"timestamp_granularities[]": "word"},
        )
    )
    deltas = [event for event in events if event.type == "transcript.text.delta"]
    assert len(deltas) > 1 and "".join(event.delta for event in deltas) == expected == events[-1].text
    assert all("".join(each.token for each in event.logprobs) == event.delta for event in deltas)
    assert "".join(each.token for each in events[-1].logprobs) == expected
    words = [(word["word"], word["start"], word["end"]) for event in deltas for word in event.words]
    assert words == [(word.text, word.start, word.end) for word in transcript.words]
    assert events[-1].type == "transcript.text.done"
    segments = [event for event in events if event.type == "transcript.text.segment"]
    assert " ".join(event.text for event in segments) == expected
    assert all(event.segment["text"] == event.text for event in segments)
    assert segments[0].start == words[0][1] and segments[-1].end == words[-1][2]
    assert [event.segment["id"] for event in segments] == list(range(len(segments)))


def test_a_stream_by_hand(server, sound):
    response = post(server, sound, stream="true")
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = [block for block in response.text.split("\n\n") if block and not block.startswith(":")]
    for block in blocks:
        name, data = block.split("\n")
        assert name.removeprefix("event: ") == json.loads(data.removeprefix("data: "))["type"]


def test_the_headers_of_a_stream_come_at_once_and_comments_while_nothing_is_known(recognizer, sound, monkeypatch):
    release = threading.Event()
    parts = recognizer.transcribe_parts

    def slow(*arguments):
        release.wait(20)
        return parts(*arguments)

    monkeypatch.setattr("asr.server.rest.KEEP_ALIVE_SECONDS", 0.05)
    monkeypatch.setattr(recognizer, "transcribe_parts", slow)
    with serving(recognizer, ServeConfig()) as (_, address):
        form = {"files": {"file": sound.read_bytes()}, "data": {"model": "whisper-1", "stream": "true"}}
        with httpx.stream("POST", f"{address}/v1/audio/transcriptions", timeout=20, **form) as response:
            assert response.status_code == 200 and not release.is_set()
            lines = response.iter_lines()
            assert sum(next(lines).startswith(":") for _ in range(6)) == 3
            release.set()
            assert "event: transcript.text.done" in lines


def test_a_job_ends_when_the_client_of_its_stream_has_left(recognizer, sound, monkeypatch):
    def endless(*_):
        for second in range(1, 10_000):
            time.sleep(0.01)
            yield Transcript("a", (Word("a", second - 1, second, 1.0),), second)

    monkeypatch.setattr(recognizer, "transcribe_parts", endless)
    with serving(recognizer, ServeConfig()) as (service, address):
        form = {"files": {"file": sound.read_bytes()}, "data": {"model": "whisper-1", "stream": "true"}}
        with httpx.stream("POST", f"{address}/v1/audio/transcriptions", timeout=20, **form) as response:
            assert "event: transcript.text.delta" in response.iter_lines()
            assert service.jobs.running == 1
        end = time.monotonic() + 20
        while service.jobs.running:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_a_job_that_fails_when_its_client_has_left_is_not_in_the_log():
    def fail() -> None:
        raise AudioError("the upload has gone")

    async def left() -> list[dict]:
        told: list[dict] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        pool = JobPool(1, 0)
        pool.submit(fail)
        assert await pool.drain(10)
        gc.collect()
        return told

    assert asyncio.run(left()) == []


def test_asynchronous(server, sound, recognizer):
    import openai

    async def several() -> set[str]:
        async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="none") as client:
            create = client.audio.transcriptions.create
            found = await asyncio.gather(*(create(model="whisper-1", file=sound) for _ in range(3)))
        return {each.text for each in found}

    assert asyncio.run(several()) == {recognizer.transcribe(sound).text}


def test_phrases_of_the_prompt_are_preferred(recognizer, sound, monkeypatch):
    asked = []
    monkeypatch.setattr(Recognizer, "with_hotwords", lambda self, phrases: asked.append(phrases) or self)
    with serving(recognizer, ServeConfig(limit=LIMITS)) as (_, address):
        for prompt, stream in (
            ("Ada Lovelace, 你好", "false"),
            ("", "false"),
            ("Ada Lovelace, 你好", "true"),
            ("b", ""),
        ):
            assert post(address, sound, prompt=prompt, stream=stream).status_code == 200
        assert post(address, sound, prompt="Lovelace", **{"keywords[]": ["Ada", "a, b"]}).status_code == 200
    assert asked == [("Ada Lovelace", "你好"), ("b",), ("Ada", "a, b", "Lovelace")], (
        "the recogniser of a prompt is kept"
    )


def test_phrases_of_a_prompt():
    assert phrases_of("Gathercole, Ada Lovelace.\nanalytical engine") == (
        "Gathercole",
        "Ada Lovelace",
        "analytical engine",
    )
    assert phrases_of("This is a talk by Ada Lovelace about Charles Babbage") == ("Ada Lovelace", "Charles Babbage")
    assert phrases_of("Пожалуйста позвони завтра утром Анне Карениной домой") == ("Анне Карениной",)
    assert phrases_of('Er möchte übrigens "Élodie Müller" ändern lassen') == ("Élodie Müller",)
    assert phrases_of("张三、李四，王五") == ("张三", "李四", "王五")
    assert phrases_of("") == phrases_of(" ,. \n") == ()
    assert len(phrases_of(", ".join(map(str, range(1000))))) == 100


def test_models(client):
    import openai

    names = [each.id for each in client.models.list()]
    assert names[0] == "tiny" and "whisper-1" in names
    assert client.models.retrieve("whisper-1").id == "whisper-1"
    with pytest.raises(openai.NotFoundError, match="whisper-9"):
        client.models.retrieve("whisper-9")


def test_audio_is_counted_once_however_it_is_sent(recognizer, noise_file):
    long = noise_file("long.flac", 50.0, 8000)

    def counted(address):
        lines = httpx.get(f"{address}/metrics").text.splitlines()
        return {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}

    for stream in ("true", "false"):
        with serving(recognizer, ServeConfig(limit=LIMITS)) as (_, address):
            assert post(address, long, stream=stream).status_code == 200
            found = counted(address)
        assert found["asr_audio_seconds_total"] == pytest.approx(50, abs=0.1)
        assert found["asr_job_seconds_count"] == 1 and found["asr_job_seconds_sum"] > 0.05


def test_jobs_of_seconds_minutes_and_hours_are_told_apart():
    metrics = Metrics()
    for seconds in (0.3, 3, 40, 400, 4000):
        metrics.seconds(seconds)
    lines = metrics.to_text().decode().splitlines()
    counts = {line.split()[1] for line in lines if line.startswith("asr_job_seconds_bucket") and "+Inf" not in line}
    assert counts == {"0.0", "1.0", "2.0", "3.0", "4.0", "5.0"}


def test_requests_as_other_programs_make_them(server, sound):
    """Open WebUI sends an empty language and an mp3's type; Subtitle Edit asks for a stream of verbose_json; others
    send fields that this server does not know."""
    assert post(server, sound, language="", prompt="").status_code == 200
    assert all(post(server, sound, language=each).status_code == 200 for each in ("en", "en-GB", "English", "auto"))
    assert post(server, sound, response_format="verbose_json", stream="True").status_code == 200
    assert post(server, sound, chunking_strategy="auto", hotwords="a,b", vad_filter="true").status_code == 200


def test_a_model_of_another_language(recognizer, sound):
    with serving(recognizer, ServeConfig(language="de")) as (_, address):
        found = post(address, sound, language="de-AT", response_format="verbose_json")
        assert found.json()["language"] == "german"
        assert post(address, sound, language="en").json()["error"]["param"] == "language"


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"response_format": "docx"}, 400, "response_format"),
        ({"temperature": "3"}, 400, "temperature"),
        ({"temperature": "warm"}, 400, "temperature"),
        ({"temperature": "nan"}, 400, "temperature"),
        ({"timestamp_granularities[]": "letter"}, 400, "timestamp_granularities"),
        ({"stream": "perhaps"}, 400, "stream"),
        ({"language": "de"}, 400, "language"),
        ({"model": "gpt-9"}, 404, "model"),
        ({"model": ""}, 400, "model"),
    ],
)
def test_impossible_values(server, sound, fields, status, param):
    response = post(server, sound, **fields)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (status, param)
    assert error["message"] and error["type"] == "invalid_request_error"


@pytest.mark.parametrize("data", [b"", b"no sound", b"RIFF\0\0\0\0WAVEfmt "])
def test_files_that_are_no_sound(server, data):
    error = post(server, data=data).json()["error"]
    assert (error["param"], error["code"]) == ("file", "invalid_audio")
    assert "/" not in error["message"], "no path of this machine"


def test_limits(server, noise_file):
    assert post(server, data=b"x" * 2_200_000).status_code == 413
    response = post(server, noise_file("long.flac", 70.0, 8000))
    assert response.status_code == 413 and "60 s" in response.json()["error"]["message"]


def test_other_paths_and_methods(server):
    assert httpx.get(f"{server}/v1/nothing").status_code == 404
    assert httpx.get(f"{server}/v1/audio/transcriptions").status_code == 405
    assert httpx.post(f"{server}/v1/audio/transcriptions", json={}).status_code == 415
    assert "translate" in httpx.post(f"{server}/v1/audio/translations").json()["error"]["message"]
    assert httpx.get(f"{server}/health").json() == {"status": "ok"}
    assert httpx.get(f"{server}/ready").status_code == 200
    assert "asr_jobs_running" in httpx.get(f"{server}/metrics").text


def test_keys(recognizer, sound):
    import openai

    with serving(recognizer, ServeConfig(limit=LIMITS), ["right", "other"]) as (_, address):
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{address}/v1", api_key="wrong").models.list()
        assert openai.OpenAI(base_url=f"{address}/v1", api_key="right").models.list()
        assert httpx.get(f"{address}/health").status_code == 200
        assert httpx.get(f"{address}/metrics").status_code == 401


def test_keys_that_others_can_read_are_warned_of(tmp_path, capsys):
    path = tmp_path / "keys.txt"
    path.write_text("# mine\nright\n\n")
    for mode, warned in ((0o600, False), (0o644, True)):
        path.chmod(mode)
        assert read_keys(path) == ["right"]
        assert ("chmod 600" in capsys.readouterr().err) == warned
    path.write_text("# none\n")
    with pytest.raises(ConfigError, match="no keys"):
        read_keys(path)


def test_pages_of_the_origins_that_are_named_may_call(recognizer):
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with serving(recognizer, ServeConfig(cors=("https://a.example",)), ["right"]) as (_, address):
        for origin, status in (("https://a.example", 200), ("https://b.example", 400)):
            asked = httpx.options(f"{address}/v1/audio/transcriptions", headers=ask | {"Origin": origin})
            assert asked.status_code == status
        refused = httpx.get(f"{address}/v1/models", headers={"Origin": "https://a.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://a.example"


def test_a_port_that_is_taken(server):
    host, _, port = server.removeprefix("http://").partition(":")
    with pytest.raises(ConfigError, match=f"^{host}:{port}: Address already in use; choose another"):
        listening(host, int(port))


def test_requests_per_minute(recognizer):
    limits = LimitConfig(requests_per_minute=3)
    with serving(recognizer, ServeConfig(limit=limits)) as (_, address):
        statuses = [httpx.get(f"{address}/v1/models").status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert 0 < int(httpx.get(f"{address}/v1/models").headers["retry-after"]) <= 61


def test_a_full_line_is_refused_and_a_crash_takes_nothing_along(recognizer, sound, monkeypatch):
    release = threading.Event()

    def slow(*_):
        release.wait(20)
        raise ValueError("a bug")

    with serving(recognizer, ServeConfig(limit=LIMITS)) as (service, address):
        with monkeypatch.context() as patched:
            patched.setattr(service.recognizer, "transcribe", slow)
            statuses = []
            threads = [
                threading.Thread(target=lambda: statuses.append(post(address, sound).status_code)) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            while service.jobs.running + service.jobs.waiting < 4:
                time.sleep(0.01)
            refused = post(address, sound)
            assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
            assert post(address, sound, stream="true").status_code == 429
            release.set()
            for thread in threads:
                thread.join()
        assert statuses == [500] * 4
        assert post(address, sound).status_code == 200


def test_a_client_that_stops_sending_is_given_up(server):
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as stream:
        stream.sendall(
            b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposi"
        )
        stream.settimeout(10)
        assert b" 408 " in stream.recv(1000)


def test_uploads_leave_nothing_behind(server, sound, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    for stream in ("true", "false"):
        post(server, sound, stream=stream)
    post(server, data=random.Random(0).randbytes(1000))
    assert not list((tmp_path / "uploads").iterdir())
