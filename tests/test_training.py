"""Training for real, in small: it learns, it resumes exactly, it says what is wrong."""

import dataclasses
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
import soundfile
import torch

from asr.config import Recipe, load_recipe
from asr.device import choose_precision
from asr.errors import AsrError, TrainingError
from asr.manifest import Utterance, write_manifest
from asr.recognizer import Recognizer
from asr.training import train
from asr.values import from_values

TONES = {"a": 300, "b": 900, "c": 2500}  # hertz: a language whose letters are tones


def write_corpus(folder: Path, name: str, count: int, seed: int) -> Path:
    random = np.random.default_rng(seed)
    utterances = []
    for number in range(count):
        word = "".join(random.choice(list(TONES), size=random.integers(1, 5)))
        parts = [np.zeros(1600)]
        for letter in word:
            parts += [0.5 * np.sin(2 * np.pi * TONES[letter] * np.arange(2400) / 16000), np.zeros(800)]
        samples = np.concatenate(parts) + 0.01 * random.standard_normal(sum(map(len, parts)))
        path = folder / f"{name}-{number}.wav"
        soundfile.write(path, samples, 16000)
        utterances.append(Utterance(f"{name}-{number}", path, len(samples) / 16000, word, name))
    return write_manifest(folder / f"{name}.jsonl", utterances)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    write_corpus(folder, "train", 60, 0)
    write_corpus(folder, "dev", 12, 1)
    return folder


RECIPE = """
output = "{output}"
[data]
train = ["train.jsonl"]
dev = ["dev.jsonl"]
[features]
mels = 20
[augment]
time_masks = 1
time_mask_share = 0.05
frequency_masks = 1
frequency_mask_mels = 2
[model]
subsampling = 2
channels = 4
layers = 1
width = 24
dropout = 0.1
[training]
epochs = {epochs}
batch_seconds = 4
learning_rate = 1e-2
average = 2
workers = 0
checkpoint_minutes = 0
"""


def write_recipe(corpus: Path, output: str, epochs: int = 3) -> Path:
    path = corpus / f"{output}.toml"
    path.write_text(RECIPE.format(output=output, epochs=epochs))
    return path


def command(recipe: Path) -> list[str]:
    return [sys.executable, "-m", "asr", "train", str(recipe)]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(path / "model.safetensors")


@pytest.mark.slow
def test_learns_a_language_of_tones(corpus):
    model = Recognizer.load(train(load_recipe(write_recipe(corpus, "learned", epochs=20))))
    assert model.file.training["dev_wer"] < 0.2
    assert model.file.training["utterances"] == 60
    records = [json.loads(line) for line in (corpus / "learned" / "metrics.jsonl").read_text().splitlines()]
    epochs = [record for record in records if record["kind"] == "epoch"]
    assert epochs[-1]["loss"] < 0.3 * epochs[0]["loss"] and 0 < epochs[-1]["blank_rate"] < 1
    assert list((corpus / "learned" / "tensorboard").iterdir())


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_weights(corpus):
    whole = train(load_recipe(write_recipe(corpus, "whole"))).parent
    recipe, folder = write_recipe(corpus, "killed"), corpus / "killed"
    for wanted in (3, 11):
        process = subprocess.Popen(command(recipe), stderr=subprocess.PIPE)
        wait_for(lambda wanted=wanted: steps_saved(folder) >= wanted, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (folder / "model.safetensors").exists(), "killed too late to prove anything"
    finished = subprocess.run(command(recipe), capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "going on from step" in finished.stderr
    expected, actual = weights(whole), weights(folder)
    for name in expected:
        assert torch.equal(expected[name], actual[name]), name
    assert steps_logged(folder) == steps_logged(whole), "no step is logged twice or lost"


def steps_logged(folder: Path) -> list[int]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [record["step"] for record in records if record["kind"] in ("train", "epoch")]


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(corpus):
    recipe, folder = write_recipe(corpus, "interrupted", epochs=200), corpus / "interrupted"
    process = subprocess.Popen(command(recipe), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: steps_saved(folder) >= 2, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "all saved; the same command goes on from there" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr


def steps_saved(folder: Path) -> int:
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0
    with safetensors.safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["asr"])["progress"]["step"]


def wait_for(condition, process: subprocess.Popen, seconds: float = 120) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.01)


def test_another_recipe_in_the_same_folder_is_refused(corpus):
    recipe = load_recipe(write_recipe(corpus, "changed", epochs=1))
    train(recipe)
    changed = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, width=25))
    with pytest.raises(TrainingError, match=r"model\.width = 24, now it is 25.*another --output or delete"):
        train(changed)


def test_finished_run_is_not_repeated(corpus):
    recipe = load_recipe(write_recipe(corpus, "finished", epochs=1))
    path = train(recipe)
    before = path.stat().st_mtime_ns
    assert train(recipe) == path and path.stat().st_mtime_ns == before


def recipe_for(corpus: Path, output: str, **sections) -> Recipe:
    values = {"output": str(corpus / output), "data": {"train": [str(corpus / "train.jsonl")]}} | sections
    values["data"]["dev"] = [str(corpus / "dev.jsonl")]
    return from_values(Recipe, values, "recipe")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ""}, "1 with an empty text, the first 'odd'"),
        ({"text": "a" * 60}, "1 with more tokens than output frames, the first 'odd'"),
        ({"duration": 99.0}, "1 with more than 35 s, the first 'odd'"),
        ({"audio_filepath": Path("none.wav")}, "no such recording"),
        ({"id": "dev-0", "text": "é"}, "characters that the alphabet lacks|outside the alphabet: 'é' \\(1\\)"),
    ],
)
def test_unusable_data_is_named_before_training(corpus, tmp_path, change, message):
    odd = Utterance("odd", corpus / "train-0.wav", 0.6, "a")
    if "audio_filepath" in change:
        change = {"audio_filepath": tmp_path / change["audio_filepath"]}
    manifest = write_manifest(tmp_path / "odd.jsonl", [dataclasses.replace(odd, **change)])
    recipe = recipe_for(corpus, "unusable", data={"train": [str(manifest)]}, text={"alphabet": "abc"})
    with pytest.raises(AsrError, match=message):
        train(recipe)
    assert not (corpus / "unusable").exists(), "nothing is written before the data has been checked"


def test_dev_characters_that_train_lacks_are_listed(corpus, tmp_path):
    manifest = write_manifest(tmp_path / "only_a.jsonl", [Utterance("x", corpus / "train-0.wav", 0.6, "a")])
    recipe = recipe_for(corpus, "lacking", data={"train": [str(manifest)]})
    with pytest.raises(TrainingError, match=r"dev\.jsonl: characters that the alphabet lacks: '[bc]' \(\d+\), '[bc]'"):
        train(recipe)


def test_a_recipe_without_data_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"data\.train names no manifest"):
        train(Recipe(output=tmp_path / "run"))


def test_precision_comes_with_its_reason():
    dtype, reason = choose_precision("auto", torch.device("cpu"))
    has_tiles = torch.cpu.get_capabilities().get("amx_bf16")
    assert (dtype == torch.bfloat16) == bool(has_tiles) and "AMX" in reason
    assert choose_precision("bfloat16", torch.device("cpu"))[0] == torch.bfloat16


def test_a_loss_that_is_not_a_number_names_the_batch(corpus, monkeypatch):
    monkeypatch.setattr("asr.training.ctc_loss", lambda *_, **__: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(TrainingError, match=r"step 0: the loss is nan for the batch of train-\d+"):
        train(load_recipe(write_recipe(corpus, "nan", epochs=1)))
    assert os.listdir(corpus / "nan")
