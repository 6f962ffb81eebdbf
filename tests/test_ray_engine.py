"""`--engine ray` on a real cluster of two nodes on this machine, one of which is killed."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import COMPLETE, ERROR, PARTLY

from asr.cli.main import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra 'ray'"),
]
ROOT = Path(__file__).parent.parent

# Every process of a node: reading the recording killer.wav kills it.
TRAP = """
import os, signal
import asr.utils.storage as storage
real = storage.open_binary
def open_binary(path):
    if str(path).endswith("killer.wav"):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path)
storage.open_binary = open_binary
"""
MEMORY = {"object_store_memory": 80_000_000, "num_cpus": 1}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    from ray.cluster_utils import Cluster

    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(TRAP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{site}{os.pathsep}{ROOT}")
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **MEMORY})
        cluster.add_node(**MEMORY)
        yield cluster
        cluster.shutdown()


def texts(folder: Path, suffix: str = "txt") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob(f"*.{suffix}")}


def entries(folder: Path) -> list[str]:
    """The files that were written into a folder, as often as they were."""
    lines = filter(None, (folder / ".asr-written.jsonl").read_text().splitlines())
    return [line["file"] for line in map(json.loads, lines) if "made_by" in line]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """A folder of 500 short recordings."""
    folder, random = tmp_path_factory.mktemp("recordings"), np.random.default_rng(0)
    for number in range(500):
        samples = 0.1 * random.standard_normal(int(random.uniform(0.1, 0.5) * 16000))
        soundfile.write(folder / f"{number:03d}.wav", samples, 16000)
    return folder


@pytest.fixture(scope="module")
def plain(recordings, model_path, tmp_path_factory) -> Path:
    """What one process writes."""
    folder = tmp_path_factory.mktemp("plain")
    options = ["--no_voice_activity", "-m", str(model_path), "-o", str(folder)]
    assert main(["transcribe", str(recordings), *options]) == COMPLETE
    return folder


def test_what_cannot_run_on_a_cluster(asr, model_path, noise_file, tmp_path):
    sound = noise_file("x.wav", 0.5)
    command = ["transcribe", sound, "-m", model_path, "--engine", "ray"]
    without_folder = asr(*command)
    assert without_folder.returncode == ERROR and "-o DIR" in without_folder.stderr
    # Before any test has started a cluster, which would be found.
    nowhere = asr(*command, "-o", tmp_path / "out", "--ray_address", "auto")
    assert nowhere.returncode == ERROR and "ray start --head" in nowhere.stderr and nowhere.stderr.count("\n") == 1
    with socket.socket() as silent:  # bound, but not listening
        silent.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*silent.getsockname())
        refused = asr(*command, "-o", tmp_path / "out", "--ray_address", address)
    assert refused.returncode == ERROR and refused.stderr.count("\n") == 1
    assert refused.stderr.startswith(f"asr: no Ray cluster at '{address}': Connection refused; `ray start --head`")


def test_a_node_that_dies(asr, cluster, recordings, plain, model_path, tmp_path):
    def kill_a_node() -> None:
        while len(texts(tmp_path / "out")) < 100:
            if stopped.wait(0.1):
                return
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    stopped = threading.Event()
    killer = threading.Thread(target=kill_a_node)
    killer.start()
    command = ["transcribe", recordings, "--no_voice_activity", "-m", model_path, "-o", tmp_path / "out", "--resume"]
    done = asr(*command, "--engine", "ray", "--ray_address", cluster.address)
    stopped.set()
    killer.join()
    assert not cluster.worker_nodes, "the node was killed during the run"
    cluster.add_node(**MEMORY)
    assert done.returncode == COMPLETE and "500 done, 0 failed" in done.stderr, done.stderr
    assert texts(tmp_path / "out") == texts(plain)
    assert len(set(done.stdout.splitlines())) == len(done.stdout.splitlines()) == 500
    assert sorted(entries(tmp_path / "out")) == sorted(texts(plain)), "each is written once"


def test_a_killed_driver(asr, cluster, recordings, plain, model_path, tmp_path):
    out = tmp_path / "out"
    command = ["transcribe", recordings, "--no_voice_activity", "-m", model_path, "-o", out, "--resume"]
    command += ["--engine", "ray", "--ray_address", cluster.address]
    driver = subprocess.Popen([sys.executable, "-m", "asr", *map(str, command)], stdout=subprocess.DEVNULL)
    while len(texts(out)) < 20:
        assert driver.poll() is None
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    before = -1
    while before < (before := len(entries(out))):  # until its workers have ended
        time.sleep(3)
    done = asr(*command)
    assert done.returncode == COMPLETE and f"{500 - before} done, {before} skipped" in done.stderr, done.stderr
    assert 20 <= before < 500 and texts(out) == texts(plain)
    assert sorted(entries(out)) == sorted(texts(plain)), "each is written once"


def test_recordings_that_kill_workers_and_broken_ones(asr, cluster, model_path, noise_file, tmp_path):
    for seed in range(8):
        noise_file(f"in/{seed:03d}.wav", 0.3, seed=seed)
    (tmp_path / "in" / "broken.wav").write_bytes(b"RIFF")
    command = ["transcribe", tmp_path / "in", "-m", model_path]
    assert asr(*command, "-o", tmp_path / "plain").returncode == PARTLY
    noise_file("in/killer.wav", 0.5)
    ray = ["--engine", "ray", "--ray_address", cluster.address, "-o", tmp_path / "out", "--resume"]
    done = asr(*command, *ray)
    assert done.returncode == PARTLY and "8 done, 2 failed" in done.stderr, done.stderr
    assert "killer.wav: 3 workers died" in done.stderr and "broken.wav: " in done.stderr
    assert texts(tmp_path / "out") == texts(tmp_path / "plain")


def test_long_recordings_are_divided_among_the_nodes(asr, cluster, model_path, noise_file, tmp_path, monkeypatch):
    from asr.recognition import ray_engine

    monkeypatch.setattr(ray_engine, "GROUP_SECONDS", 15.0)
    monkeypatch.setattr(ray_engine, "STRETCH_SECONDS", 20.0)
    noise_file("in/short.wav", 2)
    for name, rate in (("long.wav", 16000), ("resampled.flac", 11025)):
        path = noise_file(f"in/{name}", 240, sample_rate=rate)
        samples, _ = soundfile.read(path, dtype="float32")
        for start in range(0, len(samples), 18 * rate):
            samples[start : start + rate] *= 0.001
        soundfile.write(path, samples, rate)
    whole = noise_file("in/cut.flac", 100, seed=1)
    whole.write_bytes(whole.read_bytes()[:-500_000])
    command = ["transcribe", tmp_path / "in", "-m", model_path, "--format", "json"]
    plain = asr(*command, "-o", tmp_path / "plain")
    assert plain.returncode == PARTLY and "cut.flac: " in plain.stderr

    noise_file("in/killer.wav", 30)
    read = []
    take = ray_engine.LongRecording.add
    monkeypatch.setattr(ray_engine.LongRecording, "add", lambda *each: read.append(each[0].name) or take(*each))
    ray = ["--engine", "ray", "--ray_address", cluster.address, "-o", tmp_path / "out"]
    done = asr(*command, *ray)
    assert done.returncode == PARTLY and "3 done, 2 failed" in done.stderr, done.stderr
    assert "killer.wav: 3 workers died" in done.stderr
    assert next(line for line in plain.stderr.splitlines() if "cut.flac" in line) in done.stderr
    assert read.count(str(tmp_path / "in" / "long.wav")) > 5
    assert texts(tmp_path / "out", "json") == texts(tmp_path / "plain", "json")


def test_evaluation_is_that_of_one_process(asr, cluster, model_path, noise_file, manifest, tmp_path, monkeypatch):
    from asr.recognition import ray_engine

    monkeypatch.setattr(ray_engine, "GROUP_ITEMS", 3)
    sounds = [(f"u{seed}", noise_file(f"{seed}.wav", 1, seed=seed)) for seed in range(10)]
    command = [
        "evaluate",
        manifest(*sounds, ("killer", noise_file("killer.wav"))),
        "-m",
        model_path,
        "--decoder",
        "greedy",
    ]
    done = asr(*command, "--engine", "ray", "--ray_address", cluster.address, "-o", tmp_path / "ray")
    assert done.returncode == PARTLY and "killer: 3 workers died" in done.stderr, done.stderr
    assert asr("evaluate", manifest(*sounds), *command[2:], "-o", tmp_path / "plain").returncode == COMPLETE
    ray, plain = (json.loads((tmp_path / each / "report.json").read_text()) for each in ("ray", "plain"))
    assert ray["utterances"] == plain["utterances"] and ray["wer"] == plain["wer"]


def test_a_corpus_is_prepared_as_in_one_process(asr, cluster, noise_file, tmp_path):
    sounds = [noise_file(f"{number}.wav", 0.5 + number / 10) for number in range(9)]
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    lines = [
        {"id": path.stem, "audio_filepath": str(path), "text": "one"} for path in (*sounds, tmp_path / "broken.wav")
    ]
    lines.append(lines[0] | {"id": "part", "offset": 0.1, "duration": 0.3})

    def prepared(name: str, lines: list, *options: str) -> tuple[dict[str, bytes], str]:
        source, folder = tmp_path / name / "corpus.jsonl", tmp_path / name / "data"
        source.parent.mkdir()
        source.write_text("".join(json.dumps(line) + "\n" for line in lines))
        done = asr("prepare", "table", source, "-o", folder, "--shards", "3", *options)
        assert done.returncode == PARTLY, done.stderr
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "summary.json"}
        return files, files.pop("rejects.jsonl").decode()

    expected, _ = prepared("plain", lines)
    lines.append({"id": "killer", "audio_filepath": str(noise_file("killer.wav", 0.5)), "text": "one"})
    found, rejects = prepared("ray", lines, "--engine", "ray", "--ray_address", cluster.address)
    assert found == expected and len(found) == 4
    assert "killer.wav: 3 workers died" in rejects and "broken.wav: " in rejects and rejects.count("\n") == 2


def test_a_cluster_of_this_machine_for_one_run(model_path, noise_file, tmp_path):
    noise_file("in/x.wav", 0.5)
    command = [sys.executable, "-m", "asr", "transcribe", "in", "-m", str(model_path), "-o", "out", "--engine", "ray"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, "--ray_address", "local"], cwd=tmp_path, env=environment, timeout=300)
    assert done.returncode == COMPLETE and (tmp_path / "out" / "x.txt").exists()
