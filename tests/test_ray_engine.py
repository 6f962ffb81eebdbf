"""`asr transcribe --engine ray` on a real cluster of two nodes on this machine, one of which is killed."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import soundfile
from command_line import COMPLETE, ERROR, PARTLY

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


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(TRAP)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{ROOT}")
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **MEMORY})
    cluster.add_node(**MEMORY)
    yield cluster
    cluster.shutdown()


def texts(folder: Path, suffix: str = "txt") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob(f"*.{suffix}")}


def test_a_node_and_a_recording_that_kill_workers(asr, cluster, model_path, noise_file, tmp_path, monkeypatch):
    from asr.recognition import ray_engine

    monkeypatch.setattr(ray_engine, "GROUP_ITEMS", 5)
    for seed in range(40):
        noise_file(f"in/{seed:03d}.wav", 0.3 + seed % 7 / 10, seed=seed)
    (tmp_path / "in" / "broken.wav").write_bytes(b"RIFF")
    command = ["transcribe", tmp_path / "in", "-m", model_path]
    assert asr(*command, "-o", tmp_path / "plain").returncode == PARTLY
    noise_file("in/killer.wav", 0.5)

    def kill_a_node() -> None:
        while len(texts(tmp_path / "out")) < 10:
            if stopped.wait(0.1):
                return
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    stopped = threading.Event()
    killer = threading.Thread(target=kill_a_node)
    killer.start()
    ray = ["--engine", "ray", "--ray_address", cluster.address, "-o", tmp_path / "out", "--resume"]
    done = asr(*command, *ray)
    stopped.set()
    killer.join()
    assert done.returncode == PARTLY, done.stderr
    assert texts(tmp_path / "out") == texts(tmp_path / "plain")
    assert "40 done, 2 failed" in done.stderr
    assert "killer.wav: 3 workers died" in done.stderr and "broken.wav: " in done.stderr
    assert len(done.stdout.splitlines()) == len(set(done.stdout.splitlines())) == 40

    again = asr(*command, *ray)
    assert again.returncode == PARTLY and "40 skipped" in again.stderr
    assert texts(tmp_path / "out") == texts(tmp_path / "plain")


def test_long_recordings_are_divided_among_the_nodes(asr, cluster, model_path, noise_file, tmp_path, monkeypatch):
    from asr.recognition import ray_engine

    monkeypatch.setattr(ray_engine, "GROUP_BYTES", 500_000)
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
    assert [line for line in plain.stderr.splitlines() if "cut.flac" in line][0] in done.stderr
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


def test_what_cannot_run_on_a_cluster(asr, model_path, noise_file, tmp_path):
    sound = noise_file("x.wav", 0.5)
    command = ["transcribe", sound, "-m", model_path, "--engine", "ray"]
    without_folder = asr(*command)
    assert without_folder.returncode == ERROR and "-o DIR" in without_folder.stderr
    nowhere = asr(*command, "-o", tmp_path / "out", "--ray_address", "auto")
    assert nowhere.returncode == ERROR and "ray start --head" in nowhere.stderr and nowhere.stderr.count("\n") == 1


def test_a_cluster_of_this_machine_for_one_run(model_path, noise_file, tmp_path):
    noise_file("in/x.wav", 0.5)
    command = [sys.executable, "-m", "asr", "transcribe", "in", "-m", str(model_path), "-o", "out", "--engine", "ray"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, "--ray_address", "local"], cwd=tmp_path, env=environment, timeout=300)
    assert done.returncode == COMPLETE and (tmp_path / "out" / "x.txt").exists()
