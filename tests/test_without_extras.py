"""Without the extras, as after `pip install .` alone: recognition works, and other commands say what to install."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
BLOCK = """
import sys
from asr.utils.extras import EXTRAS
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from asr.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def asr_alone():
    """Runs a command in a process that has no package of an extra."""

    def run(*arguments, **options) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", BLOCK, *map(str, arguments)]
        return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, **options)

    return run


@pytest.fixture
def manifest_of(noise_file):
    """A manifest of one recording."""
    sound = noise_file("x.wav", 1.0)
    line = {"id": "x", "audio_filepath": "x.wav", "duration": 1.0, "text": "a b", "speaker": "s"}
    path = sound.with_name("x.jsonl")
    path.write_text(json.dumps(line) + "\n")
    return path


@pytest.mark.slow
def test_recognition_needs_no_extra(asr_alone, model_path, noise_file, manifest_of, tmp_path):
    sound, text = noise_file("x.wav", 1.0), tmp_path / "x.txt"
    text.write_text("a b c\n")
    commands = [
        ["transcribe", sound, "-m", model_path, "--format", "json", "srt", "TextGrid", "-o", tmp_path / "out"],
        ["align", sound, text, "-m", model_path],
        ["evaluate", manifest_of, "-m", model_path],
        ["score", manifest_of, manifest_of],
        ["info", model_path],
        ["export", model_path, "-o", tmp_path / "model.onnx"],
        ["transcribe", sound, "-m", tmp_path / "model.onnx"],
    ]
    for command in commands:
        done = asr_alone(*command)
        assert done.returncode == (1 if command[0] == "align" else 0), (command, done.stderr)  # noise has no words
        assert b"Traceback" not in done.stderr and b"small-asr[" not in done.stderr
    samples = (1000 * np.random.default_rng(0).standard_normal(32000)).astype("<i2").tobytes()
    done = asr_alone("listen", "-", "-m", model_path, "--no_voice_activity", input=samples)
    assert done.returncode == 0 and done.stdout.strip()


@pytest.mark.slow
def test_commands_name_the_missing_extra(asr_alone, model_path, noise_file, manifest_of, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[data]\ntrain = ["x.jsonl"]\ndev = ["x.jsonl"]\n')
    sound = noise_file("x.wav", 1.0)
    commands = [
        (["train", recipe], "train"),
        (["inspect", sound, "-m", model_path, "-o", tmp_path / "x.html"], "train"),
        (["evaluate", manifest_of, "-m", model_path, "-o", tmp_path / "report"], "report"),
        (["tune", manifest_of, "-m", model_path, "--lm", "none", "--decoder", "beam"], "report"),
        (["augment", recipe, sound, "-o", tmp_path / "examples"], "report"),
        (["prepare", "synthetic", "digits", "-o", tmp_path / "corpus"], "synthetic"),
        (["transcribe", sound, "-m", model_path, "--device", "cuda"], "gpu"),
        (["lexicon", manifest_of, "-o", tmp_path / "lexicon.txt"], "lexicon"),
        (["listen", "-m", model_path], "live"),
    ]
    for command, extra in commands:
        done = asr_alone(*command)
        lines = done.stderr.decode().splitlines()
        assert done.returncode == 2, (command, done.stderr)
        assert f"small-asr[{extra}]" in lines[-1] and "Traceback" not in done.stderr.decode(), (command, lines)
    # Found missing before the work, not after it.
    assert not (tmp_path / "examples").exists() and not model_path.with_name("decoder.toml").exists()
