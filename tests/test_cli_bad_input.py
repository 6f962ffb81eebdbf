"""Bad input on the command line: one line that names the file, a status that is not 0, nothing half-written, and the
rest done."""

import json

import numpy as np
import pytest
import safetensors.numpy
from command_line import ERROR, PARTLY, assert_told, files, summarised
from tones import write_corpus


def missing(path):
    pass


def text(path):
    path.write_text("This is not sound.\n" * 100)


def nothing(path):
    path.write_bytes(b"")


def folder(path):
    path.mkdir()
    (path / "readme.txt").write_text("no sound here")


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (missing, "no such file"),
        (text, "not a sound file"),
        (nothing, "the file is empty"),
        (folder, "no sound files in this folder"),
        (cut, "cut short, 50% of the samples are there"),
    ],
)
def test_bad_recording_among_good_ones(asr, model_path, noise_file, tmp_path, spoil, reason):
    bad = noise_file("bad.wav")
    if spoil is not cut:
        bad.unlink()
    spoil(bad)
    good = [noise_file("a.wav", 0.3), noise_file("z.wav", 0.3)]
    result = asr("transcribe", good[0], bad, good[1], "-m", model_path, "-o", tmp_path / "out")
    assert_told(summarised(result, "2 done, 1 failed"), PARTLY, bad, reason)
    assert files(tmp_path / "out") == ["a.txt", "z.txt"]
    if not bad.is_dir():
        assert_told(asr("info", bad), ERROR, bad, reason)


def test_failures_are_reported_even_if_the_output_fails(asr, model_path, noise_file, tmp_path, full_disk):
    names = [tmp_path / "gone.wav", noise_file("a.wav")]
    with full_disk(1):
        result = asr("transcribe", *names, "-m", model_path, "-o", tmp_path / "out")
    assert result.returncode == ERROR
    gone, full = result.stderr.splitlines()
    assert str(tmp_path / "gone.wav") in gone
    assert str(tmp_path / "out/a.txt") in full


def test_transcribe_nothing(asr, model_path):
    assert_told(asr("transcribe", "-m", model_path), ERROR, "no INPUT")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"id": "a", "audio_filepath": "a.wav", "duration": 1, "text": "a"}\n{"id":\n', ":2: not JSON"),
        (b'{"id": "a", "audio_filepath": "a.wav", "duration": 1, "text": "a"}\n' * 2, ":2: duplicate id 'a'"),
        (b'{"id": "a", "audio_filepath": "a.wav", "text": "a"}\n', ":1: 'duration' is missing"),
        (b"", "no utterances in it"),
        (None, "no such file"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "info", "train"])
def test_bad_manifest(asr, model_path, noise_file, tmp_path, command, content, reason):
    path = noise_file("a.wav").with_name("test.jsonl")
    if content is not None:
        path.write_bytes(content)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[data]\ntrain = ["test.jsonl"]\ndev = ["test.jsonl"]\n')
    arguments = {"evaluate": [path, "-m", model_path, "-o", tmp_path / "report"], "info": [path], "train": [recipe]}
    assert_told(asr(command, *arguments[command]), ERROR, path, reason)
    assert not (tmp_path / "report").exists()


def test_train_refuses_a_manifest_with_a_missing_recording(asr, noise_file, manifest, tmp_path):
    path = manifest(("here", noise_file("a.wav")), ("lost", "gone.wav"))
    (tmp_path / "recipe.toml").write_text('[data]\ntrain = ["test.jsonl"]\ndev = ["test.jsonl"]\n')
    assert_told(asr("train", tmp_path / "recipe.toml"), ERROR, f"{path}:2: no such recording", tmp_path / "gone.wav")


@pytest.mark.parametrize(
    ("content", "overrides", "reason"),
    [
        ("[model]\nwidht = 3\n", [], "unknown key 'model.widht'; did you mean 'model.width'?"),
        ('[model]\nwidth = "wide"\n', [], "model.width: Expected `int`, got `str`"),
        ("[model]\nwidth = -3\n", [], "model.width: Expected `int` >= 1"),
        ("[model]\nwidth = 3\n", ["--model.width", "-3"], "model.width: Expected `int` >= 1"),
        ("[model\n", [], "not valid TOML"),
        ('"two\\nlines" = 1\n', [], "unknown key 'two\\nlines'"),
        ('[data]\ntrain = ["train.jsonl"]\n', [], "data.dev names no manifest; `asr prepare` writes them"),
    ],
)
def test_bad_recipe(asr, tmp_path, content, overrides, reason):
    path = tmp_path / "recipe.toml"
    path.write_text(content)
    assert_told(asr("train", path, *overrides), ERROR, path, reason)
    assert files(tmp_path) == ["recipe.toml"]


def test_recipe_that_is_missing_or_not_one_by_name(asr, tmp_path):
    assert_told(asr("train", tmp_path / "none.toml"), ERROR, tmp_path / "none.toml", "No such file")
    (tmp_path / "recipe.txt").write_text("[model]\nwidth = 3\n")
    assert_told(asr("train", tmp_path / "recipe.txt"), ERROR, tmp_path / "recipe.txt", ".toml")


def test_option_out_of_range(asr, model_path, noise_file):
    result = asr("transcribe", noise_file("a.wav"), "-m", model_path, "--batch_seconds", "-1")
    assert_told(result, ERROR, "batch_seconds: Expected `float` > 0.0")


@pytest.mark.parametrize("command", ["serve", "mcp"])
def test_a_language_that_is_no_code(asr, command):
    assert_told(asr(command, "--language", "English"), ERROR, "language: Expected `str` matching regex")


def other_tensors(path, model):
    safetensors.numpy.save_file({"x": np.zeros(3)}, path)


def newer_version(path, model):
    with safetensors.safe_open(model, "numpy") as file:
        metadata = {"asr": json.dumps({**json.loads(file.metadata()["asr"]), "format_version": 99})}
        safetensors.numpy.save_file({name: file.get_tensor(name) for name in file.keys()}, path, metadata)  # noqa: SIM118


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path, model: None, "no such model file"),
        (lambda path, model: path.write_bytes(b""), "cut short, damaged"),
        (lambda path, model: path.write_bytes(model.read_bytes()[:-1]), "cut short, damaged"),
        (lambda path, model: path.write_bytes(model.read_bytes()[:100]), "cut short, damaged"),
        (lambda path, model: path.write_bytes(bytes(range(256)) * 9), "damaged or not a model file"),
        (other_tensors, "not a model file of this program"),
        (newer_version, "format version 99 is newer than this program knows"),
    ],
    ids=["missing", "empty", "cut by a byte", "cut to its head", "random bytes", "other tensors", "newer"],
)
def test_bad_model(asr, model_path, noise_file, manifest, tmp_path, make, reason):
    bad, sound = tmp_path / "bad.safetensors", noise_file("a.wav")
    make(bad, model_path)
    assert_told(asr("info", bad), ERROR, bad, reason)
    assert_told(asr("transcribe", sound, "-m", bad, "-o", tmp_path / "out"), ERROR, bad, reason)
    assert_told(asr("evaluate", manifest(("a", sound)), "-m", bad, "-o", tmp_path / "out"), ERROR, bad, reason)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [["--folds", "speaker"], ["--learning_curve"]])
def test_training_for_an_evaluation_does_not_run_on_a_cluster(asr, option):
    assert_told(asr("evaluate", "x.jsonl", "--engine", "ray", *option), ERROR, "--engine ray", option[0])


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpu_that_is_not_there(asr, model_path, noise_file, tmp_path, device):
    torch = pytest.importorskip("torch")
    if {"cuda": torch.cuda, "mps": torch.backends.mps}[device].is_available():
        pytest.skip("this machine has one")
    result = asr("transcribe", noise_file("a.wav"), "-m", model_path, "--device", device)
    assert_told(result, ERROR, f"device '{device}'", "'cpu'")
    write_corpus(tmp_path, "train", 4, 0)
    (tmp_path / "recipe.toml").write_text('[data]\ntrain = ["train.jsonl"]\ndev = ["train.jsonl"]\n')
    assert_told(asr("train", tmp_path / "recipe.toml", "--training.device", device), ERROR, f"device '{device}'")


def test_no_command(asr):
    assert_told(asr(), ERROR, "no command given; one of transcribe, ", "info; `asr --help` describes them")
