"""The model file: contents survive a round trip, and anything else is refused."""

import dataclasses
import json
import math
import pickle

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.audio.config import FeatureConfig
from asr.errors import ModelFileError
from asr.model.acoustic_model import AcousticModel, load_network
from asr.model.config import ModelConfig
from asr.model.engine import OnnxEngine
from asr.model.model_file import ModelFile, compress, export, load_model, save_model
from asr.model.onnx_file import KEY, _checksum, _entry
from asr.text.config import TextConfig
from asr.text.tokenizer import CharacterTokenizer


def test_model_file_holds_everything(model_path):
    file = load_model(model_path)
    assert file.tokenizer.decode(file.tokenizer.encode("bad cafe".replace("e", "d"))) == "bad cafd"
    assert (file.features.mels, file.architecture.width, file.text.normalizer) == (20, 16, "basic")
    assert file.frame_seconds == 0.04


def test_no_pickle_in_the_file(model_path):
    header_length = int.from_bytes(model_path.read_bytes()[:8], "little")
    assert json.loads(model_path.read_bytes()[8 : 8 + header_length])["__metadata__"]["asr"]


def test_float16_is_half_the_size_and_the_same_model_to_three_digits(model_path, tmp_path):
    small = tmp_path / "small.safetensors"
    compress(model_path, small, "float16")
    before, after = load_model(model_path), load_model(small)
    weights = sum(array.nbytes for array in before.weights.values())
    assert small.stat().st_size == pytest.approx(model_path.stat().st_size - weights / 2, rel=0.02)
    assert (after.tokenizer.pieces, after.architecture) == (before.tokenizer.pieces, before.architecture)
    for name, array in after.weights.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, before.weights[name], rtol=1e-3, atol=1e-6)


def test_int8_is_a_quarter_of_the_size_and_computes_as_before(tmp_path):
    torch.manual_seed(0)
    architecture, tokenizer = ModelConfig(channels=4, layers=2, width=96), CharacterTokenizer("abcdefgh ")
    model = AcousticModel(architecture, 20, len(tokenizer.pieces))
    large, small, again = (tmp_path / f"{name}.safetensors" for name in ("large", "small", "again"))
    save_model(large, ModelFile(model.weights(), FeatureConfig(mels=20), TextConfig(), architecture, tokenizer, {}))
    compress(large, small, "int8")
    assert small.stat().st_size < 0.3 * large.stat().st_size
    graphs = [onnx.load_from_string(load_model(path).graph("int8")).graph for path in (large, small)]
    before, after = (
        [each for each in graph.initializer if each.data_type == onnx.TensorProto.INT8] for graph in graphs
    )
    assert before == after and len(before) == 8  # weights and zero points of the inputs and the cells of two layers
    compress(small, again, "int8")
    assert again.read_bytes() == small.read_bytes()


def test_weights_outside_the_range_of_float16_are_refused(model_path, tmp_path):
    file, large = load_model(model_path), tmp_path / "large.safetensors"
    file.weights["head.bias"][0] = 1e6
    save_model(large, file)
    with pytest.raises(ModelFileError, match=r"large\.safetensors: has weights above 65504"):
        compress(large, tmp_path / "small.safetensors", "float16")
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


def test_an_onnx_file_holds_everything(model_path, tmp_path):
    exported = tmp_path / "model.onnx"
    export(model_path, exported)
    ours, theirs = load_model(exported), load_model(model_path)
    for field in ("features", "text", "architecture", "phones", "priors", "training"):
        assert getattr(ours, field) == getattr(theirs, field)
    assert ours.tokenizer.pieces == theirs.tokenizer.pieces
    onnx.checker.check_model(onnx.load(exported))
    features = [np.random.default_rng(1).standard_normal((50, theirs.features.mels)).astype(np.float32)]
    [found], [expected] = OnnxEngine(ours, "auto")(features), OnnxEngine(theirs, "float32")(features)
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_onnx_file_is_refused(exported, data):
    good = exported.read_bytes()
    bad = exported.with_name("bad.onnx")
    if data.draw(st.booleans(), "cut"):
        bad.write_bytes(good[: data.draw(st.integers(0, len(good) - 1))])
    else:
        place = data.draw(st.integers(0, len(good) - 1))
        bad.write_bytes(good[:place] + bytes([good[place] ^ data.draw(st.integers(1, 255))]) + good[place + 1 :])
    with pytest.raises(ModelFileError, match=r"bad\.onnx: cut short, damaged, or not made by"):
        load_model(bad)


@pytest.mark.parametrize("metadata", ["", "{", "[1]", "{}", '{"format_version": "x"}', "[" * 100_000])
def test_an_onnx_file_with_other_metadata_is_refused(tmp_path, metadata):
    bad = tmp_path / "bad.onnx"
    body = _entry(KEY, metadata) if metadata else b"\xff\xff"
    bad.write_bytes(body + _checksum(body))
    with pytest.raises(ModelFileError, match=r"bad\.onnx: an ONNX file, but not a model"):
        load_model(bad)


@pytest.fixture(scope="module")
def exported(model_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export(model_path, path)
    return path


def test_an_onnx_file_is_not_exported_again(exported, tmp_path):
    with pytest.raises(ModelFileError, match=r"model\.onnx: is an ONNX file already"):
        export(exported, tmp_path / "again.onnx")


@pytest.mark.parametrize("read_before", [False, True])
def test_weights_reach_another_process(model_path, read_before):
    file = load_model(model_path)
    if read_before:
        assert len(file.weights)
    sent = pickle.loads(pickle.dumps(file))
    assert sent.parameter_count == file.parameter_count > 0
    for name, array in file.weights.items():
        np.testing.assert_array_equal(sent.weights[name], array)
