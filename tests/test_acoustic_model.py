"""The acoustic model: lengths, types, names of weights. Properties of all encoders are in `test_encoders.py`."""

import pytest
import torch

from asr.model.acoustic_model import STRIDES, AcousticModel, ConvSubsampling
from asr.model.config import ModelConfig


def make(subsampling: int = 4, layers: int = 2) -> AcousticModel:
    torch.manual_seed(0)
    config = ModelConfig(subsampling=subsampling, channels=3, layers=layers, width=8, dropout=0.5)
    return AcousticModel(config, mels=10, tokens=6).eval()


def test_log_probabilities_are_float32_and_sum_to_one():
    output, _ = make()(torch.randn(2, 30, 10), torch.tensor([30, 20]))
    assert output.dtype == torch.float32
    torch.testing.assert_close(output.exp().sum(dim=-1), torch.ones(2, output.shape[1]))


@pytest.mark.parametrize("factor", STRIDES)
def test_subsampling_uses_all_frames_and_no_later_ones(factor):
    """Output frame t depends on the frames from (t - 1) * factor + 1 to (t + 1) * factor - 1."""
    torch.manual_seed(0)
    subsampling = ConvSubsampling(factor, mels=10, channels=8)
    features = torch.randn(1, 5 * factor, 10, requires_grad=True)
    output, _ = subsampling(features, torch.tensor([5 * factor]))
    output[0, 2].sum().backward()
    used = features.grad[0].abs().sum(dim=1).nonzero().flatten()
    assert used.tolist() == list(range(factor + 1, 3 * factor))


@pytest.mark.parametrize("frame", [0, 8])
def test_every_output_depends_on_every_input(frame):
    """Context is the whole utterance, in both directions."""
    model, features = make(), torch.randn(1, 33, 10, requires_grad=True)
    model(features, torch.tensor([33]))[0][0, frame].square().sum().backward()
    assert (features.grad[0].abs().sum(dim=1) > 0).all()


def test_the_weights_keep_their_names():
    """Model files of a bidirectional LSTM from before there were families can be read."""
    lstm = [f"{kind}_{part}_l0" for kind in ("weight", "bias") for part in ("ih", "hh")]
    names = {f"layers.{layer}.{way}.{name}" for layer in (0, 1) for way in ("forwards", "backwards") for name in lstm}
    names |= {f"norms.{layer}.{name}" for layer in (0, 1) for name in ("weight", "bias")}
    names |= {f"subsampling.convolutions.{index}.{name}" for index in (0, 1) for name in ("weight", "bias")}
    assert set(make().state_dict()) == names | {"head.weight", "head.bias"}
    assert ModelConfig().encoder == "bilstm"
