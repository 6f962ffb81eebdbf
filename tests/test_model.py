"""The acoustic model: padding, lengths, direction, gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.config import ModelConfig
from asr.model import AcousticModel, reversed_frames


def make(subsampling: int = 4, layers: int = 2) -> AcousticModel:
    torch.manual_seed(0)
    config = ModelConfig(subsampling=subsampling, channels=3, layers=layers, width=8, dropout=0.5)
    return AcousticModel(config, mels=10, tokens=6).eval()


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=5), subsampling=st.sampled_from([1, 2, 4, 8]))
def test_padding_never_changes_a_result(lengths, subsampling):
    """One utterance alone and the same one in a batch, whatever lies in the padding."""
    model = make(subsampling)
    features = torch.randn(len(lengths), max(lengths) + 7, 10)
    together, frames = model(features, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone, alone_frames = model(features[row : row + 1, :length], torch.tensor([length]))
        assert frames[row] == alone_frames[0] == -(-length // subsampling)
        torch.testing.assert_close(together[row, : frames[row]], alone[0], atol=1e-5, rtol=1e-5)


def test_log_probabilities_are_float32_and_sum_to_one():
    output, _ = make()(torch.randn(2, 30, 10), torch.tensor([30, 20]))
    assert output.dtype == torch.float32
    torch.testing.assert_close(output.exp().sum(dim=-1), torch.ones(2, output.shape[1]))


def test_autocast_still_gives_float32():
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = make()(torch.randn(1, 30, 10), torch.tensor([30]))
    assert output.dtype == torch.float32


def test_equals_torch_packed_bidirectional_lstm():
    """The reversal by length is what packing does, only faster."""
    model = make(subsampling=1, layers=1)
    layer, lengths = model.layers[0], torch.tensor([9, 4, 7])
    packed_lstm = torch.nn.LSTM(10, 8, batch_first=True, bidirectional=True)
    for name, value in layer.forwards.named_parameters():
        packed_lstm.get_parameter(name).data = value.data
    for name, value in layer.backwards.named_parameters():
        packed_lstm.get_parameter(f"{name}_reverse").data = value.data
    x = torch.randn(3, 9, 10)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(packed_lstm(packed)[0], batch_first=True)
    actual = layer(x, reversed_frames(lengths, 9).unsqueeze(-1))
    for row, length in enumerate(lengths):
        torch.testing.assert_close(actual[row, :length], expected[row, :length])


@pytest.mark.parametrize("frame", [0, 8])
def test_every_output_depends_on_every_input(frame):
    """Memory reaches the whole utterance in both directions."""
    model, features = make(), torch.randn(1, 33, 10, requires_grad=True)
    model(features, torch.tensor([33]))[0][0, frame].square().sum().backward()
    assert (features.grad[0].abs().sum(dim=1) > 0).all()


def test_all_parameters_learn():
    model = make().train()
    output, lengths = model(torch.randn(2, 40, 10), torch.tensor([40, 32]))
    torch.nn.functional.ctc_loss(
        output.transpose(0, 1), torch.tensor([1, 2, 3]), lengths, torch.tensor([2, 1])
    ).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert not silent
