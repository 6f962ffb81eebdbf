"""`kill -9` in the middle: the next run ends as if nothing had happened, and leaves nothing behind."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import COMPLETE
from test_feature_cache import all_of

from asr.audio.config import FeatureConfig
from asr.data.feature_cache import CorpusFeatures
from asr.data.manifest import read_manifest

pytestmark = pytest.mark.slow

# The process kills itself as a file is about to go to the disk: everything is written, nothing renamed.
KILL = """
import os, signal, sys
real, calls = os.fsync, []
def fsync(handle):
    calls.append(handle)
    if len(calls) == {moment}:
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)
os.fsync = fsync
"""
COMMAND = "from asr.cli.main import main; main(sys.argv[1:])"
FEATURES = """
from pathlib import Path
from asr.audio.config import FeatureConfig
from asr.data.feature_cache import CorpusFeatures
from asr.data.manifest import read_manifest
CorpusFeatures(read_manifest(Path(sys.argv[1])), FeatureConfig()).cache(Path(sys.argv[2]), 1.0, print)
"""


def killed(moment: int, program: str, *arguments) -> None:
    """Run a program in a process that is killed at its n-th file."""
    command = [sys.executable, "-c", KILL.format(moment=moment) + program, *map(str, arguments)]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def left_behind(folder: Path) -> list[Path]:
    return list(folder.rglob(".asr-*.part"))


@pytest.mark.parametrize("moment", [1, 4])
def test_transcribe(asr, model_path, noise_file, tmp_path, moment):
    for seed in range(4):
        noise_file(f"in/{seed}.wav", 0.5, seed=seed)
    arguments = ["transcribe", tmp_path / "in", "-m", model_path, "--format", "txt", "json", "-o"]
    assert asr(*arguments, tmp_path / "undisturbed").returncode == COMPLETE
    killed(moment, COMMAND, *arguments, tmp_path / "out")
    assert left_behind(tmp_path / "out")
    assert asr(*arguments, tmp_path / "out", "--resume").returncode == COMPLETE
    found, expected = contents(tmp_path / "out"), contents(tmp_path / "undisturbed")
    assert found.keys() == expected.keys() and not left_behind(tmp_path / "out")
    assert all(found[name] == expected[name] for name in found if not name.startswith(".asr-"))
    assert asr(*arguments, tmp_path / "out", "--resume").stdout == ""


def test_prepare(asr, noise_file, tmp_path):
    for name in ("anna/1", "anna/2", "ben/1"):
        noise_file(f"corpus/{name}.wav").with_suffix(".txt").write_text("a b\n")
    (tmp_path / "corpus/ben/2.txt").write_text("no sound\n")
    arguments = ["prepare", "folder", tmp_path / "corpus", "--split.dev", "0.3", "--max_rejects", "1", "-o"]
    assert asr(*arguments, tmp_path / "undisturbed").returncode == COMPLETE
    killed(3, COMMAND, *arguments, tmp_path / "out")
    assert left_behind(tmp_path / "out") == list((tmp_path / "out").iterdir())
    assert asr(*arguments, tmp_path / "out").returncode == COMPLETE
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize("suffix", ["arpa", "arpa.gz", "asrlm"])
def test_lm_train(asr, tmp_path, suffix):
    (tmp_path / "text").write_text("one two three\nthree two one\n" * 50)
    undisturbed, output = (tmp_path / folder / f"lm.{suffix}" for folder in ("undisturbed", "out"))
    assert asr("lm", "train", tmp_path / "text", "-o", undisturbed).returncode == COMPLETE
    killed(1, COMMAND, "lm", "train", tmp_path / "text", "-o", output)
    assert left_behind(output.parent) == list(output.parent.iterdir())
    assert asr("lm", "train", tmp_path / "text", "-o", output).returncode == COMPLETE
    assert contents(output.parent) == contents(undisturbed.parent)


def test_feature_cache(noise_file, manifest, tmp_path):
    path = manifest(*[(str(seed), noise_file(f"{seed}.wav", 1.0, seed=seed)) for seed in range(3)])
    killed(1, FEATURES, path, tmp_path / "cache")
    assert left_behind(tmp_path / "cache") == list((tmp_path / "cache").iterdir())
    utterances = read_manifest(path)
    kept, made = (CorpusFeatures(utterances, FeatureConfig()) for _ in range(2))
    told = []
    kept.cache(tmp_path / "cache", 1.0, told.append)
    assert told, "nothing of the killed run was taken for the features"
    assert [name.endswith(".features") for name in contents(tmp_path / "cache")] == [True]
    assert all(np.array_equal(a, b) for a, b in zip(all_of(kept, utterances), all_of(made, utterances), strict=True))
