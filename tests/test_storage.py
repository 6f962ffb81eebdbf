"""URLs in place of paths: reading, writing, resuming and failing, against a real S3 server on loopback."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from command_line import COMPLETE, ERROR, PARTLY, assert_told
from hypothesis import given
from hypothesis import strategies as st

from asr.audio.io import load_audio, probe
from asr.data.manifest import load_utterance, read_manifest
from asr.errors import AudioError
from asr.output.formats import Outputs
from asr.transcript import Transcript
from asr.utils import object_store, storage
from asr.utils.files import make_folder, write_atomically

fsspec = pytest.importorskip("fsspec", reason="needs the extra 'remote'")
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("moto", reason="needs moto's S3 server")
    from s3_server import S3Server

    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def s3(server, monkeypatch):
    """The URL of an empty bucket."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(object_store, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(object_store, "_listed", {})
    server.faults, server.applies, server.before = [], lambda method, path: True, lambda method, path: None
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    object_store._filesystem("s3://").mkdir(bucket)
    monkeypatch.setattr(object_store, "READ_SECONDS", 1.0)
    return f"s3://{bucket}"


def copy_to(url: str, *paths: Path) -> None:
    for path in paths:
        write_atomically(f"{url}/{path.name}", path.read_bytes())


def contents(url: str) -> dict[str, bytes]:
    """All objects below a URL but for the ledger."""
    names = [name.removeprefix(f"{url}/") for name in storage.list_files(url)]
    return {name: storage.read_bytes(f"{url}/{name}") for name in names if not name.startswith(".asr-written")}


def test_descriptions_of_files_in_a_bucket(asr, s3, model_path, noise_file, manifest):
    sound = noise_file("x.wav", 1.5)
    copy_to(s3, sound, model_path, manifest(("u", sound.name)))
    shown = {name: asr("info", f"{s3}/{name}").stdout for name in ("x.wav", "model.safetensors", "test.jsonl")}
    assert f"{s3}/x.wav" in shown["x.wav"] and "1.500 s" in shown["x.wav"]
    assert f"{s3}/model.safetensors" in shown["model.safetensors"]
    assert "missing" not in shown["test.jsonl"] and f"{s3}/test.jsonl" in shown["test.jsonl"]
    gone = asr("info", f"{s3}/gone.safetensors")
    assert gone.returncode == ERROR and gone.stderr.count("\n") == 1 and f"{s3}/gone.safetensors" in gone.stderr


@pytest.mark.parametrize("text", ["s3://b/x/y.wav", "https://host/a.wav?x=1", "hf://user/name", "memory://x"])
def test_a_path_keeps_a_url(text):
    assert storage.url(Path(text)) == storage.url(text) == text


def test_an_address_without_a_place_is_refused(asr, model_path, noise_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound = noise_file("a.wav")
    assert_told(asr("transcribe", sound, "-m", "hf://"), ERROR, "hf://: incomplete address", "hf://PLACE/NAME")
    assert_told(asr("info", "https://"), ERROR, "https://: incomplete address")
    assert_told(asr("transcribe", sound, "-m", model_path, "-o", "s3://"), ERROR, "s3://: incomplete address")
    assert not Path("s3:").exists(), "it is no folder"


def test_paths_of_a_manifest_in_a_bucket():
    assert storage.url(storage.join(Path("s3://b/lists"), "../audio/x.wav")) == "s3://b/audio/x.wav"
    assert storage.url(storage.join(Path("lists"), "gs://b/x.wav")) == "gs://b/x.wav"
    assert storage.url("s3/x.wav") is None and storage.url("C:/x.wav") is None


content = bytes(range(256)) * 40


@given(st.lists(st.tuples(st.integers(0, len(content) + 9), st.integers(0, 3000)), max_size=8))
def test_an_object_reads_like_a_file(reads):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_store, "BLOCK", 1000)
        fsspec.filesystem("memory").pipe_file("memory://reads/x", content)
        with storage.open_binary("memory://reads/x") as stream, io.BytesIO(content) as file:
            for start, count in reads:
                stream.seek(start)
                file.seek(start)
                assert stream.read(count) == file.read(count)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_audio_is_the_same_as_from_a_local_file(noise_file, suffix, monkeypatch):
    monkeypatch.setattr(object_store, "BLOCK", 10_000)
    local = noise_file(f"x.{suffix}", 3.0)
    url = f"memory://audio/x.{suffix}"
    write_atomically(url, local.read_bytes())
    assert probe(url).frames == probe(local).frames
    for part in ({}, {"offset": 1.0, "duration": 0.5}):
        assert np.array_equal(load_audio(url, **part).samples, load_audio(local, **part).samples)


def test_a_long_recording_is_never_held_whole(noise_file, monkeypatch, s3):
    local = noise_file("long.wav", 60.0)
    copy_to(s3, local)
    monkeypatch.setattr(object_store, "BLOCK", 1 << 16)
    with storage.open_binary(f"{s3}/long.wav") as stream:
        for start in range(0, stream.size, 1 << 16):
            stream.read_at(start, 1 << 16)
        assert sum(map(len, stream._blocks.values())) <= object_store.BLOCKS << 16


def test_a_prefix_into_another_prefix(asr, s3, server, model_path, noise_file, tmp_path):
    recordings = [noise_file(f"in/{seed}.wav", 0.5, seed=seed) for seed in range(3)]
    copy_to(f"{s3}/in", *recordings)
    copy_to(s3, model_path)
    arguments = ["--format", "txt", "json", "--resume"]
    assert asr("transcribe", tmp_path / "in", "-m", model_path, "-o", tmp_path / "out", *arguments).returncode == 0
    remote = ["transcribe", f"{s3}/in", "-m", f"{s3}/{model_path.name}", "-o", f"{s3}/out", *arguments]
    done = asr(*remote)
    assert done.returncode == COMPLETE, done.stderr
    assert f"{s3}/out/0.txt" in done.stdout.splitlines()
    found = contents(f"{s3}/out")
    assert sorted(found) == sorted(f"{seed}.{kind}" for seed in range(3) for kind in ("txt", "json"))
    for name in ("0.txt", "1.txt", "2.txt"):
        assert found[name] == (tmp_path / "out" / name).read_bytes()
    assert json.loads(found["0.json"])["audio_filepath"] == f"{s3}/in/0.wav"

    # A changed recording is done again, the others are not; nor is one whose output has gone.
    copy_to(f"{s3}/in", noise_file("in/1.wav", 0.7, seed=5))
    object_store.remove(f"{s3}/out/2.txt")
    server.requests.clear()
    again = asr(*remote)
    assert again.returncode == COMPLETE and "2 done, 1 skipped, 0 failed" in again.stderr
    assert not [path for method, path in server.requests if path.endswith(("/out/0.txt", "/out/0.json"))]


@pytest.mark.parametrize("store", ["memory://ledger", None])
def test_what_another_process_has_written_is_learnt(store, tmp_path):
    names, folder = ["a.wav", "b.wav"], Path(store or tmp_path) / "out"
    make_folder(folder)
    for name in names:
        (tmp_path / name).write_bytes(b"sound")
    recordings = [str(tmp_path / name) for name in names]
    first, second = (Outputs(recordings, ("txt",), folder) for _ in range(2))
    first.write(recordings[0], Transcript("one", (), 1.0))
    assert not second.are_written(recordings[0])
    second.read_ledger(recordings)
    assert [second.are_written(name) for name in recordings] == [True, False]


def test_several_objects_are_opened_at_a_time(asr, s3, server, model_path, noise_file):
    copy_to(f"{s3}/in", *(noise_file(f"{seed}.wav", 0.4, seed=seed) for seed in range(6)))
    waiting = threading.Barrier(3)

    def before(method: str, path: str) -> None:
        if method == "GET" and path.endswith(".wav"):
            waiting.wait(60)  # breaks unless three requests are there at once

    server.before = before
    done = asr("transcribe", f"{s3}/in", "-m", model_path, "--format", "jsonl")
    assert done.returncode == COMPLETE, done.stderr
    assert [json.loads(line)["audio_filepath"] for line in done.stdout.splitlines()] == [
        f"{s3}/in/{seed}.wav" for seed in range(6)
    ]


def test_patterns_and_single_objects(asr, s3, model_path, noise_file):
    copy_to(f"{s3}/in/a", noise_file("1.wav", 0.5), noise_file("2.flac", 0.5))
    for name, count in ((f"{s3}/in/**/*.wav", 1), (f"{s3}/in/a/2.flac", 1), (f"{s3}/in", 2)):
        done = asr("transcribe", name, "-m", model_path, "--format", "jsonl")
        assert done.returncode == COMPLETE and len(done.stdout.splitlines()) == count, done.stderr


@pytest.mark.slow
def test_kill_in_the_middle_then_resume(s3, server, model_path, noise_file, tmp_path):
    recordings = [noise_file(f"in/{seed:02d}.wav", 0.4, seed=seed) for seed in range(12)]
    copy_to(f"{s3}/in", *recordings)
    gate, entered = threading.Event(), []

    def before(method: str, path: str) -> None:
        if method == "PUT" and ".asr-written" in path:
            entered.append(path)
            if len(entered) > 3:
                gate.wait(60)

    server.before = before
    command = [sys.executable, "-m", "asr", "transcribe", f"{s3}/in", "-m", str(model_path), "-o", f"{s3}/out"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, "--resume"], env=environment, stdout=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            if len(entered) > 3:
                break
            assert process.poll() is None
            threading.Event().wait(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.before = lambda method, path: None
        gate.set()
    object_store._listed.clear()
    assert all(len(text) > 1 and text.endswith(b"\n") for text in contents(f"{s3}/out").values())
    done = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == COMPLETE, done.stderr
    skipped = int(done.stderr.split(" skipped")[0].split()[-1])
    assert 3 <= skipped < 12 and f"{12 - skipped} done" in done.stderr
    assert len(contents(f"{s3}/out")) == 12


@pytest.mark.parametrize("faults", [[500, 503], ["cut", "cut"], [1.5, "cut", 500]])
def test_reading_survives_faults(s3, server, noise_file, faults):
    local = noise_file("x.wav", 2.0)
    copy_to(s3, local)
    server.applies = lambda method, path: method == "GET" and path.endswith("x.wav")
    server.faults = list(faults)
    assert np.array_equal(load_audio(f"{s3}/x.wav").samples, load_audio(local).samples)
    assert not server.faults


def test_writing_survives_faults_and_appears_whole(s3, server):
    server.applies = lambda method, path: method == "PUT"
    server.faults = [500, "cut", 503]
    write_atomically(f"{s3}/x.txt", b"whole" * 1000)
    assert contents(s3) == {"x.txt": b"whole" * 1000}


def test_a_write_that_fails_leaves_the_old_object(s3):
    write_atomically(f"{s3}/x.txt", b"old")
    from asr.utils.files import replacing

    with pytest.raises(ZeroDivisionError), replacing(f"{s3}/x.txt") as stream:
        stream.write(b"half of the n")
        raise ZeroDivisionError
    assert contents(s3) == {"x.txt": b"old"}


def test_a_recording_that_cannot_be_read_fails_with_the_reason(asr, s3, server, model_path, noise_file):
    copy_to(f"{s3}/in", noise_file("good.wav", 0.5), noise_file("bad.wav", 0.5))
    server.applies = lambda method, path: method == "GET" and path.endswith("bad.wav")
    server.faults = [500] * 100
    done = asr("transcribe", f"{s3}/in", "-m", model_path, "--format", "jsonl")
    assert done.returncode == PARTLY and len(done.stdout.splitlines()) == 1
    assert f"{s3}/in/bad.wav: " in done.stderr and "6 attempts" in done.stderr


@pytest.mark.parametrize(
    ("status", "reason"), [(403, "no permission"), (404, "no such"), ("bucket", "no such bucket"), (30.0, "timed out")]
)
def test_errors_are_one_line_with_the_url(asr, s3, server, model_path, noise_file, monkeypatch, status, reason):
    copy_to(f"{s3}/in", noise_file("x.wav", 0.5))
    name = f"{s3}/in/x.wav"
    if status == "bucket":
        name = "s3://no-such-bucket-here/x.wav"
    elif status == 30.0:
        monkeypatch.setattr(object_store, "ATTEMPTS", 2)
        monkeypatch.setattr(object_store, "READ_SECONDS", 0.3)
        server.faults = [1.0] * 20
    else:
        server.faults = [status] * 20
    done = asr("transcribe", name, "-m", model_path)
    assert done.returncode == PARTLY and done.stderr.count("\n") == 1
    assert f"asr: {name}: " in done.stderr and reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_model_is_no_missing_bucket(asr, s3, noise_file):
    missing = asr("transcribe", noise_file("x.wav", 0.5), "-m", f"{s3}/none.safetensors")  # `s3` holds "bucket"
    assert missing.returncode == ERROR and f"{s3}/none.safetensors: no such file" in missing.stderr


def test_a_web_server_that_is_down(asr, model_path, monkeypatch):
    monkeypatch.setattr(object_store, "FIRST_WAIT", 0.01)
    with socket.socket() as silent:  # bound, but not listening
        silent.bind(("127.0.0.1", 0))
        name = "http://{}:{}/x.wav".format(*silent.getsockname())
        done = asr("transcribe", name, "-m", model_path)
    assert done.returncode == PARTLY and f"{name}: cannot connect" in done.stderr and "6 attempts" in done.stderr


def test_an_output_that_cannot_be_written(asr, s3, model_path, noise_file):
    sound = noise_file("x.wav", 0.5)
    for output, reason in (("s3://no-such-bucket-here/out", "no such bucket"), ("https://h/out", "web server")):
        done = asr("transcribe", sound, "-m", model_path, "-o", output)
        assert done.returncode == ERROR and done.stderr.count("\n") == 1
        assert f"asr: {output}" in done.stderr and reason in done.stderr


def test_manifests_and_corpora_in_a_bucket(asr, s3, model_path, noise_file, tmp_path):
    sound = noise_file("x.wav", 1.0)
    copy_to(f"{s3}/audio", sound)
    line = {"audio_filepath": "../audio/x.wav", "text": "a b"}
    write_atomically(f"{s3}/lists/all.jsonl", json.dumps(line) + "\n")
    done = asr("prepare", "table", f"{s3}/lists/all.jsonl", "-o", f"{s3}/prepared")
    assert done.returncode == COMPLETE, done.stderr
    (utterance,) = read_manifest(f"{s3}/prepared/all.jsonl")
    assert storage.url(utterance.audio_filepath) == f"{s3}/audio/x.wav" and utterance.duration == 1.0
    report = asr("evaluate", f"{s3}/prepared/all.jsonl", "-m", model_path, "-o", f"{s3}/report")
    assert report.returncode == COMPLETE and f"{s3}/report/report.html" in report.stdout
    assert json.loads(storage.read_bytes(f"{s3}/report/report.json"))

    write_atomically(f"{s3}/tree/anna/x.wav", sound.read_bytes())
    write_atomically(f"{s3}/tree/anna/x.txt", "a b\n")
    assert asr("prepare", "folder", f"{s3}/tree", "-o", tmp_path / "local").returncode == COMPLETE
    (utterance,) = read_manifest(tmp_path / "local" / "all.jsonl")
    assert storage.url(utterance.audio_filepath) == f"{s3}/tree/anna/x.wav" and utterance.speaker == "anna"

    write_atomically(f"{s3}/libri/dev/12/34/12-34.trans.txt", "12-34-0 A B\n")
    write_atomically(f"{s3}/libri/dev/12/34/12-34-0.wav", sound.read_bytes())
    assert asr("prepare", "librispeech", f"{s3}/libri", "-o", tmp_path / "libri").returncode == COMPLETE
    (utterance,) = read_manifest(tmp_path / "libri" / "dev.jsonl")
    assert (utterance.id, utterance.speaker, utterance.text) == ("12-34-0", "12", "A B")


def test_shards_in_a_bucket_are_read_by_range(asr, s3, server, noise_file, tmp_path):
    for name in ("x", "y"):
        noise_file(f"tree/anna/{name}.wav", 1.0, seed=ord(name)).with_suffix(".txt").write_text("a b\n")
    done = asr("prepare", "folder", tmp_path / "tree", "-o", tmp_path / "out", "--shards", "2")
    assert done.returncode == COMPLETE, done.stderr
    copy_to(s3, *(tmp_path / "out").glob("*.tar"), tmp_path / "out" / "all.jsonl")
    local = {u.id: load_utterance(u, 16000).samples for u in read_manifest(tmp_path / "out" / "all.jsonl")}
    for manifest in ("all.jsonl", "all-{0000..0001}.tar"):
        found = read_manifest(f"{s3}/{manifest}", check_audio=True)
        server.requests.clear()
        assert len(found) == 2
        for utterance in found:
            assert np.array_equal(load_utterance(utterance, 16000).samples, local[utterance.id])
        assert len(server.requests) == 2
    done = asr("prepare", "shards", s3, "-o", tmp_path / "again")
    assert done.returncode == COMPLETE, done.stderr
    assert {u.id for u in read_manifest(tmp_path / "again" / "all.jsonl")} == set(local)


@pytest.mark.slow
def test_training_from_shards_in_a_bucket(s3, server, tmp_path):
    import safetensors.numpy
    from test_shards import RECIPE
    from tones import write_corpus

    from asr.data.config import PrepareConfig
    from asr.data.prepare import prepare

    for name, count in (("train", 12), ("dev", 3)):
        write_corpus(tmp_path, name, count, len(name))
        prepare("table", str(tmp_path / f"{name}.jsonl"), tmp_path / "data", PrepareConfig(shards=4))
    copy_to(s3, *(tmp_path / "data").glob("train-*.tar"))
    weights = []
    for output, folder in (("local", "data"), ("remote", s3)):
        recipe = tmp_path / f"{output}.toml"
        recipe.write_text(RECIPE.format(output=output).replace("data/train-", f"{folder}/train-"))
        server.requests.clear()
        # A program of its own: here the process that starts the workers may be older than the store's address.
        assert subprocess.run([sys.executable, "-m", "asr", "train", recipe]).returncode == COMPLETE
        weights.append(safetensors.numpy.load_file(tmp_path / output / "model.safetensors"))
    assert {path for _, path in server.requests} >= {f"/{s3[5:]}/train-{number:04d}.tar" for number in range(4)}
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_web_server_without_ranges(noise_file, monkeypatch):
    """Python's own server sends whole files only."""
    sound = noise_file("x.wav", 2.0)
    monkeypatch.setattr(object_store, "BLOCK", 10_000)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=sound.parent))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        assert np.array_equal(load_audio(f"{url}/x.wav").samples, load_audio(sound).samples)
        with pytest.raises(AudioError, match=rf"{url}/y\.wav: no such file"):
            load_audio(f"{url}/y.wav")
    finally:
        server.shutdown()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    for scheme, remedy in (("gs", "pip install gcsfs"), ("s3", r"pip install 'small-asr\[remote\]'")):
        with pytest.raises(Exception, match=f"{scheme}://bucket/x: {scheme}:// needs .*; {remedy}"):
            storage.read_bytes(f"{scheme}://bucket/x")
