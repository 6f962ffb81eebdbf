"""Several processes, or several rounds, train the weights that one process trains; after one is killed, the run can be
resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import small_recipe
import torch
from hypothesis import given
from hypothesis import strategies as st
from tones import write_corpus

from asr.config import load_recipe
from asr.data.batching import part_of
from asr.training.trainer import train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Seven utterances make batches of different sizes, the last one smaller than the number of processes."""
    folder = tmp_path_factory.mktemp("distributed")
    write_corpus(folder, "train", 19, 0)
    write_corpus(folder, "dev", 3, 1)
    return folder


def write_recipe(corpus: Path, output: str, epochs: int = 2, dropout: float = 0.0) -> Path:
    training = {"epochs": epochs, "patience": epochs, "ema": 0.9, "precision": "float32"}
    training["checkpoint_minutes"] = 0.002  # at moments on which the processes' clocks do not agree
    change = {"model": {"width": 16, "dropout": dropout}, "training": training}
    return small_recipe.write_recipe(corpus / f"{output}.toml", change)


def torchrun(recipe: Path, *options: str, processes: int = 2) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    return [*launcher, "-m", "asr", "train", str(recipe), *options]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "model.safetensors")


def assert_same_weights(folder: Path, other: Path) -> None:
    ours, theirs = weights(folder), weights(other)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-5)


@given(size=st.integers(1, 9), parts=st.integers(1, 5))
def test_parts_of_a_batch_hold_each_utterance_once(size, parts):
    batch = list(range(10, 10 + size))
    own = [part_of(batch, number, parts) for number in range(parts)]
    assert all(own), "a process without work would leave the others waiting"
    assert sorted(index for part in own[:size] for index in part) == batch
    assert max(map(len, own)) - min(map(len, own)) <= 1


@pytest.fixture(scope="module")
def alone(corpus) -> Path:
    return train(load_recipe(write_recipe(corpus, "alone"))).parent


@pytest.mark.slow
def test_accumulated_gradients_give_the_same_weights(corpus, alone):
    path = write_recipe(corpus, "accumulated")
    path.write_text(path.read_text() + "accumulate = 3\n")
    assert_same_weights(alone, train(load_recipe(path)).parent)


@pytest.mark.slow
def test_two_processes_give_the_same_weights_as_one(corpus, alone):
    done = subprocess.run(torchrun(write_recipe(corpus, "two")), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("2 processes") == 1, "only one process introduces the run"
    assert done.stderr.count("epoch   1/2") == 1, "only one process tells"
    assert_same_weights(alone, corpus / "two")
    steps = [
        [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (alone, corpus / "two")
    ]
    assert steps[0] == steps[1]


@pytest.mark.slow
def test_a_killed_process_ends_the_run_with_a_message_and_the_run_resumes(corpus):
    recipe, folder = write_recipe(corpus, "killed", epochs=3000), corpus / "killed"
    process = subprocess.Popen(torchrun(recipe), stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 120
    saved = set()  # a checkpoint before the first step, and one after each
    while len(saved) < 3 or len(children(process.pid)) < 2:
        assert process.poll() is None and time.monotonic() < limit, process.stderr.read()
        saved |= {path.stat().st_mtime_ns for path in folder.glob("checkpoint.safetensors")}
        time.sleep(0.05)
    os.kill(children(process.pid)[-1], signal.SIGKILL)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "another process of this run has ended; rerun the same command to resume from the last checkpoint" in stderr
    assert not (folder / "model.safetensors").exists()
    going = subprocess.Popen([sys.executable, "-m", "asr", "train", str(recipe)], stderr=subprocess.PIPE, text=True)
    line = next(line for line in going.stderr if "resuming at step" in line)
    next(line for line in going.stderr if line.startswith("epoch"))
    going.send_signal(signal.SIGINT)
    going.communicate(timeout=60)
    assert int(line.split("step ")[1].split(",")[0]) > 0


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split() if b"asr" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_the_learning_rate_of_each_schedule():
    from asr.training.config import TrainingConfig
    from asr.training.learner import learning_rate

    def rates(schedule: str) -> np.ndarray:
        config = TrainingConfig(learning_rate=1.0, warmup_share=0.1, schedule=schedule)
        return np.array([learning_rate(config, step, 100) for step in range(100)])

    for schedule in ("cosine", "linear", "constant"):
        assert np.allclose(rates(schedule)[:11], [*np.arange(1, 11) / 10, 1.0])
    assert np.allclose(rates("constant")[10:], 1)
    assert rates("linear")[55] == pytest.approx(0.5) and rates("cosine")[55] == pytest.approx(0.5)
    assert rates("cosine")[32] > rates("linear")[32] and rates("cosine")[77] < rates("linear")[77]
