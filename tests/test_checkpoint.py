"""The model file: what goes in comes out, and what is not one is told apart."""

import dataclasses
import json
import math

import numpy as np
import pytest
import safetensors.torch
import torch

from asr.errors import ModelFileError
from asr.model.acoustic_model import AcousticModel, load_network
from asr.model.config import ModelConfig
from asr.model.model_file import halve, load_model, save_model
from asr.training.checkpoint import average_weights, load_state, save_state, save_weights


def small_model(seed: int) -> AcousticModel:
    torch.manual_seed(seed)
    return AcousticModel(ModelConfig(channels=2, layers=1, width=4), mels=8, tokens=3)


def test_model_file_holds_everything(model_path):
    file = load_model(model_path)
    assert file.tokenizer.decode(file.tokenizer.encode("bad cafe".replace("e", "d"))) == "bad cafd"
    assert (file.features.mels, file.architecture.width, file.text.normalizer) == (20, 16, "basic")
    assert file.frame_seconds == 0.04


def test_no_pickle_in_the_file(model_path):
    header_length = int.from_bytes(model_path.read_bytes()[:8], "little")
    assert json.loads(model_path.read_bytes()[8 : 8 + header_length])["__metadata__"]["asr"]


def test_half_the_size_is_the_same_model_to_three_digits(model_path, tmp_path):
    small = tmp_path / "small.safetensors"
    halve(model_path, small)
    before, after = load_model(model_path), load_model(small)
    weights = sum(array.nbytes for array in before.weights.values())
    assert small.stat().st_size == pytest.approx(model_path.stat().st_size - weights / 2, rel=0.02)
    assert (after.tokenizer.pieces, after.architecture) == (before.tokenizer.pieces, before.architecture)
    for name, array in after.weights.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, before.weights[name], rtol=1e-3, atol=1e-6)


def test_weights_that_sixteen_bits_cannot_hold_are_not_halved(model_path, tmp_path):
    file, large = load_model(model_path), tmp_path / "large.safetensors"
    file.weights["head.bias"][0] = 1e6
    save_model(large, file)
    with pytest.raises(ModelFileError, match=r"large\.safetensors: has weights above 65504"):
        halve(large, tmp_path / "small.safetensors")
    assert not (tmp_path / "small.safetensors").exists()


@pytest.mark.parametrize("keep", [0, 7, 100, 5000, -1])
def test_cut_short(model_path, tmp_path, keep):
    broken = tmp_path / "cut.safetensors"
    broken.write_bytes(model_path.read_bytes()[:keep])
    with pytest.raises(ModelFileError, match=r"cut\.safetensors: cut short"):
        load_model(broken)


def test_missing_and_other_kinds(tmp_path):
    with pytest.raises(ModelFileError, match="no such model file"):
        load_model(tmp_path / "none.safetensors")
    text = tmp_path / "text.safetensors"
    text.write_text("these are words, not weights")
    with pytest.raises(ModelFileError, match="not a model file"):
        load_model(text)
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, other)
    with pytest.raises(ModelFileError, match="a safetensors file, but not a model file of this program"):
        load_model(other)


def test_newer_format(model_path, tmp_path):
    with safetensors.safe_open(model_path, framework="pt") as file:
        metadata = json.loads(file.metadata()["asr"]) | {"format_version": 99}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    newer = tmp_path / "newer.safetensors"
    safetensors.torch.save_file(tensors, newer, {"asr": json.dumps(metadata)})
    with pytest.raises(ModelFileError, match=r"format version 99 is newer .*; upgrade asr"):
        load_model(newer)


def test_weights_that_do_not_fit_the_config(model_path, tmp_path):
    with safetensors.safe_open(model_path, framework="pt") as file:
        metadata, tensors = file.metadata(), {"head.bias": file.get_tensor("head.bias")}
    wrong = tmp_path / "wrong.safetensors"
    safetensors.torch.save_file(tensors, wrong, metadata)
    with pytest.raises(ModelFileError, match=r"wrong\.safetensors: damaged, or not made by this program"):
        load_network(load_model(wrong))


@pytest.mark.parametrize("priors", [(0.5, 0.5), (0.1,) * 9 + (0.0,), (0.1,) * 9 + (math.nan,)])
def test_priors_that_cannot_be_are_damage(model_path, tmp_path, priors):
    good, wrong = tmp_path / "good.safetensors", tmp_path / "wrong.safetensors"
    file = load_model(model_path)
    save_model(good, dataclasses.replace(file, priors=(0.1,) * 10))
    assert load_model(good).priors == (0.1,) * 10
    save_model(wrong, dataclasses.replace(file, priors=priors))
    with pytest.raises(ModelFileError, match=r"wrong\.safetensors: damaged, .*priors"):
        load_model(wrong)


def test_average_is_the_mean(tmp_path):
    models = [small_model(seed) for seed in range(3)]
    paths = [tmp_path / f"{number}.safetensors" for number in range(3)]
    for path, model in zip(paths, models, strict=True):
        save_weights(path, model)
    mean = average_weights(paths)["head.weight"]
    torch.testing.assert_close(mean, sum(model.head.weight for model in models) / 3)


def test_state_brings_back_weights_their_average_and_moments(tmp_path):
    def step(model, optimizer):
        torch.manual_seed(1)
        optimizer.zero_grad()
        output, _ = model(torch.rand(1, 16, 8), torch.tensor([16]))
        output.square().sum().backward()
        optimizer.step()

    model = small_model(0)
    optimizer = torch.optim.AdamW(model.parameters())
    step(model, optimizer)
    average = {name: value + 1 for name, value in model.state_dict().items()}
    save_state(tmp_path / "state.safetensors", model, optimizer, average, {"step": 1})
    step(model, optimizer)
    after_two = {name: value.clone() for name, value in model.state_dict().items()}

    other = small_model(5)
    other_optimizer = torch.optim.AdamW(other.parameters())
    others = {name: torch.zeros_like(value) for name, value in average.items()}
    assert load_state(tmp_path / "state.safetensors", other, other_optimizer, others) == {"step": 1}
    assert all(torch.equal(others[name], average[name]) for name in average)
    step(other, other_optimizer)
    for name, value in other.state_dict().items():
        assert torch.equal(value, after_two[name]), name
