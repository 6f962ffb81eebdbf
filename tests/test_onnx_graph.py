"""ONNX Runtime computes what PyTorch does, for every encoder family, batch and length."""

import numpy as np
import pytest
import torch

from asr.errors import ModelFileError
from asr.model.acoustic_model import AcousticModel
from asr.model.config import ModelConfig
from asr.model.encoders import FAMILIES
from asr.model.onnx_graph import build_graph

onnxruntime = pytest.importorskip("onnxruntime")
MELS, TOKENS, PHONES = 20, 7, 5


def make(encoder: str = "bilstm", phones: int = PHONES, **options) -> tuple[AcousticModel, ModelConfig]:
    torch.manual_seed(3)
    options = {"channels": 4, "layers": 3, "width": 12, "phone_layer": 2 if phones else 0} | options
    config = ModelConfig(encoder=encoder, **options)
    model = AcousticModel(config, MELS, TOKENS, phones).eval()
    with torch.no_grad():  # layer norms that do something
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model, config


def run(
    config: ModelConfig, weights: dict[str, np.ndarray], features: np.ndarray, lengths: list[int], int8: bool = False
) -> np.ndarray:
    graph = build_graph(config, MELS, weights, int8).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, {"features": features, "lengths": np.array(lengths, np.int64)})[0]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("encoder", FAMILIES)
@pytest.mark.parametrize("subsampling", [1, 3, 4])
def test_the_graph_computes_what_pytorch_does(encoder, subsampling):
    model, config = make(encoder, subsampling=subsampling)
    features, lengths = noise(4, 61, MELS), [61, 1, 40, 59]
    with torch.inference_mode():
        expected, frames = model(torch.from_numpy(features), torch.tensor(lengths))
    found = run(config, model.weights(), features, lengths)
    assert found.shape == tuple(expected.shape)
    for row, wanted, length in zip(found, expected.numpy(), frames.tolist(), strict=True):
        np.testing.assert_allclose(row[:length], wanted[:length], atol=1e-4)


@pytest.mark.parametrize("encoder", FAMILIES)
def test_padding_changes_nothing(encoder):
    model, config = make(encoder)
    features = noise(2, 40, MELS)
    alone = run(config, model.weights(), features[:1, :23], [23])
    together = run(config, model.weights(), features, [23, 40])
    np.testing.assert_allclose(together[0, : alone.shape[1]], alone[0], atol=1e-5)


@pytest.mark.parametrize("encoder", ["lstm", "bilstm"])
def test_int8_is_near_and_padding_changes_little(encoder):
    model, config = make(encoder, width=32)
    features = noise(2, 40, MELS)
    exact, rounded = (run(config, model.weights(), features, [40, 23], int8) for int8 in (False, True))
    assert 0 < np.abs(np.exp(exact) - np.exp(rounded))[0].max() < 0.05


def test_no_phones_and_other_options():
    for options in ({"phones": 0}, {"phone_layer": 3}, {"layers": 1, "phone_layer": 1}, {"subsampling": 8}):
        model, config = make(**options)
        features = noise(1, 30, MELS)
        with torch.inference_mode():
            expected = model(torch.from_numpy(features), torch.tensor([30]))[0].numpy()
        np.testing.assert_allclose(run(config, model.weights(), features, [30]), expected, atol=1e-4)


@pytest.mark.parametrize("spoil", ["drop", "add", "shape"])
def test_weights_that_do_not_fit_the_settings(spoil):
    model, config = make()
    weights = model.weights()
    name = "layers.1.forwards.weight_hh_l0"
    if spoil == "drop":
        del weights[name]
    elif spoil == "add":
        weights["layers.9.extra"] = weights[name]
    else:
        weights[name] = weights[name][:-1]
    with pytest.raises(ModelFileError, match=r"layers\."):
        build_graph(config, MELS, weights)
