"""Two nodes, each with an agent of `torchrun`: one dies and comes back, and the run ends with the weights of a run
without a fault."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from tones import write_corpus

from asr.config import load_recipe
from asr.training.trainer import train

RECIPE = """
output = "{output}"
[data]
train = ["train.jsonl"]
dev = ["dev.jsonl"]
[features]
mels = 20
[model]
subsampling = 2
channels = 4
layers = 1
width = 16
dropout = 0.0
[training]
epochs = 2
patience = 2
batch_seconds = 4
average = 1
precision = "float32"
checkpoint_minutes = 0
"""


@pytest.mark.slow
def test_a_node_that_dies_and_comes_back_resumes_the_run(tmp_path):
    write_corpus(tmp_path, "train", 19, 0)
    write_corpus(tmp_path, "dev", 3, 1)
    recipe = tmp_path / "nodes.toml"
    for output in ("alone", "nodes"):
        (tmp_path / f"{output}.toml").write_text(RECIPE.format(output=output))
    port, log = free_port(), tmp_path / "nodes.log"
    with node(recipe, port, 0, log) as first:
        with node(recipe, port, 1, log, DIES_AT="3") as second:
            assert second.wait() == -signal.SIGKILL
        # A node that is back before the other's agent has ended would join that one's round, to wait there in vain.
        while "starting again" not in log.read_text():
            time.sleep(0.1)
        with node(recipe, port, 1, log) as second:
            assert [first.wait(), second.wait()] == [0, 0], log.read_text()
    both = log.read_text()
    # The leading process may be on either node after the restart.
    assert "another process of this run has ended" in both
    assert "resuming at step 3, epoch 1" in both
    expected, found = (
        safetensors.torch.load_file(path)
        for path in (train(load_recipe(tmp_path / "alone.toml")), tmp_path / "nodes" / "model.safetensors")
    )
    for name in expected:
        torch.testing.assert_close(expected[name], found[name], rtol=1e-3, atol=1e-5)


@contextlib.contextmanager
def node(recipe: Path, port: int, number: int, log: Path, **variables: str) -> Iterator[subprocess.Popen]:
    """A node that starts its agent until the run is finished; node 0 has the store at which they meet.

    At the end it ends with all its processes: the agent ends its worker, which has a session of its own.
    """
    agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--max-restarts=0"]
    agent += ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=run"]
    agent += [f"--rdzv-conf=is_host={int(number == 0)}", "--local-addr=127.0.0.1"]
    agent += [str(Path(__file__).with_name("node_worker.py")), "train", str(recipe)]
    command = ["sh", "-c", f"until {shlex.join(agent)}; do echo starting again >&2; done"]
    with log.open("a") as file:
        process = subprocess.Popen(command, stderr=file, env=os.environ | variables, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, signum)
                process.wait(60)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
