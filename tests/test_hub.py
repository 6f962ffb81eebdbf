"""`asr push` and `--model hf://user/name`, against a stand-in for the Hub on loopback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer

from asr.evaluation.hub import model_card
from asr.model.model_file import load_model

pytest.importorskip("huggingface_hub", reason="needs the extra 'remote'")
ROOT = Path(__file__).parent.parent


@pytest.fixture
def hub():
    server = HubServer()
    yield server
    server.close()


@pytest.fixture
def run(hub, tmp_path):
    """Run a command in a process for which the stand-in is the Hub."""
    own = {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_x", "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(ROOT)}
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"} | own

    def run(*arguments) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "asr", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    return run


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("model.safetensors", "-m hf://user/name", "cut short"),
        ("punctuation.safetensors", "-m hf://user/name", "cut short"),
        ("words.arpa", "-m hf://user/name --lm hf://user/name/words.arpa", "not an ARPA file"),
        ("lm.safetensors", "--rescore hf://user/name/lm.safetensors", "cut short"),
    ],
)
def test_a_damaged_file_is_named_by_its_address(run, hub, noise_file, model_path, name, options, problem):
    hub.files |= {"model.safetensors": model_path.read_bytes(), name: b"damaged"}
    done = run("transcribe", noise_file("x.wav", 0.5), *options.split())
    (told,) = (line for line in done.stderr.splitlines() if "the first run on this machine" not in line)
    assert done.returncode == 2 and told.startswith(f"asr: hf://user/name/{name}: {problem}")
    described = run("info", f"hf://user/name/{name}")
    assert described.stderr.count("\n") == 1 and described.stderr.startswith(told[: told.index(problem)])


def test_an_address_that_the_hub_cannot_have_is_not_tried_again(run, model_path):
    done = run("transcribe", "hf://datasets/name", "-m", model_path)
    assert done.returncode != 0 and done.stderr.count("\n") == 1
    assert "asr: hf://datasets/name: " in done.stderr and "attempts" not in done.stderr


@pytest.mark.slow
def test_push_and_use(run, hub, model_path, noise_file, tmp_path):
    folder, sound = tmp_path / "model", noise_file("x.wav", 1.0)
    folder.mkdir()
    model = folder / "mine.safetensors"
    model.write_bytes(model_path.read_bytes())
    (folder / "words.txt").write_text("abba\ncab\nbad\n")
    (folder / "decoder.toml").write_text('lexicon = "words.txt"\n[beam]\nopen_vocabulary = false\n')
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.md").write_text("# Evaluation\n\nWER 12.3%\n")
    pushed = run("push", model, "user/name", "--report", tmp_path / "report")
    assert pushed.returncode == 0, pushed.stderr
    assert set(hub.files) == {"model.safetensors", "decoder.toml", "words.txt", "README.md"}
    assert hub.files["model.safetensors"] == model.read_bytes()
    assert "WER 12.3%" in hub.files["README.md"].decode()

    local, remote = (run("transcribe", sound, "-m", name) for name in (model, "hf://user/name"))
    assert remote.returncode == 0, remote.stderr
    assert remote.stdout == local.stdout and set(remote.stdout.split()) <= {"abba", "cab", "bad"}
    described = run("info", "hf://user/name").stdout
    assert described.startswith("model            hf://user/name/model.safetensors (")
    missing = run("transcribe", sound, "-m", "hf://user/name/other.safetensors")
    assert missing.returncode == 2 and missing.stderr.count("\n") == 1
    assert "hf://user/name/other.safetensors: no such file" in missing.stderr


def test_card_says_how_to_use_the_model(model_path):
    card = model_card(load_model(model_path), "user/name", None)
    assert card.startswith("---\npipeline_tag: automatic-speech-recognition\n")
    assert "--model hf://user/name" in card and f"{load_model(model_path).parameter_count:,} parameters" in card


def test_files_that_cannot_be_uploaded_are_named(asr, model_path, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "m.safetensors").write_bytes(model_path.read_bytes())
    (tmp_path / "words.txt").write_text("abba\n")
    (folder / "decoder.toml").write_text('lexicon = "../words.txt"\n')
    done = asr("push", folder / "m.safetensors", "user/name")
    assert done.returncode == 2 and "words.txt" in done.stderr and done.stderr.count("\n") == 1
    (tmp_path / "words.txt").unlink()
    done = asr("push", folder / "m.safetensors", "user/name")
    assert done.returncode == 2 and "words.txt, which is missing" in done.stderr and done.stderr.count("\n") == 1
    done = asr("push", tmp_path / "none.safetensors", "user/name")
    assert done.returncode == 2 and "none.safetensors: no such model file" in done.stderr
    done = asr("push", model_path, "name")
    assert done.returncode == 2 and "USER/NAME" in done.stderr
