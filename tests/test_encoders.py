"""The encoder families, all by the same tests: padding, context, gradients, states; and tests of single families."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.model.acoustic_model import AcousticModel
from asr.model.config import ModelConfig
from asr.model.encoders import FAMILIES, BiLstmLayer, RotaryAttention, Span, reversed_frames, rotate

every_family = pytest.mark.parametrize("encoder", FAMILIES)


def make(encoder: str, subsampling: int = 3, layers: int = 2) -> AcousticModel:
    torch.manual_seed(0)
    config = ModelConfig(encoder, subsampling, channels=8, layers=layers, width=12, dropout=0.5)
    return AcousticModel(config, mels=10, tokens=6).eval()


@every_family
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=4), subsampling=st.sampled_from([1, 2, 3, 4, 6, 8]))
def test_padding_never_changes_a_result(encoder, lengths, subsampling):
    """One utterance alone and the same one in a batch, whatever lies in the padding."""
    model = make(encoder, subsampling)
    features = torch.randn(len(lengths), max(lengths) + 7, 10)
    together, frames = model(features, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone, alone_frames = model(features[row : row + 1, :length], torch.tensor([length]))
        assert frames[row] == alone_frames[0] == alone.shape[1] == -(-length // subsampling)
        torch.testing.assert_close(together[row, : frames[row]], alone[0], atol=1e-5, rtol=1e-4)


@every_family
@pytest.mark.parametrize("subsampling", [3, 4])
def test_an_output_depends_on_its_context_and_on_nothing_else(encoder, subsampling):
    """By gradients: all frames that `context` names, in the middle of a long utterance and at its ends."""
    model, frames = make(encoder, subsampling), 216
    back, ahead = ModelConfig(encoder=encoder, subsampling=subsampling, layers=len(model.layers)).context
    features = torch.randn(1, frames, 10, requires_grad=True)
    outputs = model(features, torch.tensor([frames]))[0][0]
    for place in (0, len(outputs) // 2, len(outputs) - 1):
        (gradient,) = torch.autograd.grad(outputs[place].square().sum(), features, retain_graph=True)
        used = gradient[0].abs().sum(dim=1).nonzero().flatten()
        first, own = (0 if back == math.inf else max(0, place * subsampling - back)), place * subsampling
        last = frames - 1 if ahead == math.inf else min(frames - 1, own + ahead)
        assert used.tolist() == list(range(first, last + 1))


@every_family
def test_the_output_of_a_causal_model_does_not_change_as_more_arrives(encoder):
    model, features = make(encoder), torch.randn(1, 90, 10)
    whole = model(features, torch.tensor([90]))[0][0]
    start = model(features[:, :45], torch.tensor([45]))[0][0]
    causal = encoder in ("rnn", "gru", "lstm", "none")
    assert torch.allclose(whole[:15], start, atol=1e-5) == causal


@every_family
def test_all_parameters_learn(encoder):
    """An unused weight would be counted among the parameters and make no difference."""
    model = make(encoder).train()
    output, lengths = model(torch.randn(2, 40, 10), torch.tensor([40, 32]))
    torch.nn.functional.ctc_loss(
        output.transpose(0, 1), torch.tensor([1, 2, 3]), lengths, torch.tensor([2, 1])
    ).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert not silent


@every_family
def test_it_can_overfit_one_sentence(encoder):
    """One sound per token: no context is needed."""
    model = make(encoder).train()
    model.dropout.p = 0.0
    sounds, spoken = torch.randn(6, 10), torch.tensor([1, 4, 2, 5, 3])
    features, length = sounds[spoken].repeat_interleave(9, dim=0)[None], torch.tensor([45])
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(60):
        output, lengths = model(features, length)
        loss = torch.nn.functional.ctc_loss(output.transpose(0, 1), spoken, lengths, torch.tensor([5]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    best = model.eval()(features, length)[0][0].argmax(dim=1).unique_consecutive()
    assert best[best != 0].tolist() == spoken.tolist()


@every_family
def test_autocast_still_gives_float32_log_probabilities(encoder):
    model, features, lengths = make(encoder), torch.randn(2, 30, 10), torch.tensor([30, 20])
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = model(features, lengths)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output.exp().sum(dim=-1), torch.ones(2, output.shape[1]))
    torch.testing.assert_close(output, model(features, lengths)[0], atol=0.1, rtol=0.1)


@every_family
def test_outputs_of_each_layer_are_those_that_the_head_gets(encoder):
    model, features, lengths = make(encoder, layers=3), torch.randn(2, 30, 10), torch.tensor([30, 20])
    states = model.layer_outputs(features, lengths)
    assert [state.shape for state in states] == [(2, 10, layer.size) for layer in model.layers]
    expected = torch.log_softmax(model.head(states[-1]), dim=-1)
    torch.testing.assert_close(model(features, lengths)[0], expected)


def test_reversal_equals_packing():
    """In values and gradients: the one is for processors, the other for GPUs."""
    torch.manual_seed(0)
    layer, lengths, results = BiLstmLayer(10, 8, 0.0), torch.tensor([4, 9, 7]), []
    for run in (layer.reversed, layer.packed):
        torch.manual_seed(1)
        x = torch.randn(3, 11, 10, requires_grad=True)
        span = Span(lengths, 11)
        output = run(x, span).masked_fill(~span.inside.unsqueeze(-1), 0.0)
        layer.zero_grad()
        output.square().sum().backward()
        results.append([output, x.grad, *(parameter.grad.clone() for parameter in layer.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
    assert len(results[0]) == 2 + 8


def test_reversal_equals_torchs_bidirectional_lstm():
    torch.manual_seed(0)
    layer, peer = BiLstmLayer(10, 8, 0.0), torch.nn.LSTM(10, 8, batch_first=True, bidirectional=True)
    for suffix, lstm in (("", layer.forwards), ("_reverse", layer.backwards)):
        for name, value in lstm.named_parameters():
            peer.get_parameter(name + suffix).data = value.data
    x = torch.randn(2, 9, 10)
    torch.testing.assert_close(layer(x, Span(torch.tensor([9, 9]), 9)), peer(x)[0])


def test_the_backward_pass_in_bfloat16_has_the_gradients_of_float32():
    """It replaces oneDNN's in training under autocast; bfloat16 costs either of them 1%."""
    torch.manual_seed(0)
    layer, results = BiLstmLayer(48, 64, 0.0), []
    lengths, weight = torch.tensor([30, 9, 21, 30]), torch.randn(4, 30, 128)
    for reduced in (False, True):
        torch.manual_seed(1)
        x = torch.randn(4, 30, 48, requires_grad=True)
        span = Span(lengths, 30)
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            output = layer(x, span)
        layer.zero_grad()
        (output.float() * weight * span.inside.unsqueeze(-1)).sum().backward()
        results.append([output, x.grad, *(parameter.grad.clone() for parameter in layer.parameters())])
    for exact, rounded in zip(*results, strict=True):
        assert (rounded - exact).norm() < 0.02 * exact.norm()
    assert results[1][1][1, 9:].abs().max() == 0, "no gradient comes out of the padding"


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_reversing_twice_changes_nothing(lengths):
    order = reversed_frames(torch.tensor(lengths), 9)
    assert (order.gather(1, order) == torch.arange(9)).all()
    assert order[0, 0] == lengths[0] - 1


def test_rotation_depends_on_distances_only():
    """The product of a rotated query and a rotated key depends on how far apart they are."""
    query, key = torch.randn(8), torch.randn(8)
    products = rotate(query.expand(20, 8)) @ rotate(key.expand(20, 8)).T
    for distance in range(-10, 11):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=1e-4)
    assert products[0].std() > 0.01
    assert products[3, 3] == pytest.approx(float(query @ key), abs=1e-4)


def test_attention_equals_its_definition():
    torch.manual_seed(0)
    attention, x = RotaryAttention(12), torch.randn(2, 7, 12)
    lengths = torch.tensor([7, 4])
    actual = attention(x, Span(lengths, 7))
    for row, length in enumerate(lengths):
        own = x[row, :length]
        heads = attention.project(own).view(length, 3, 4, attention.head)
        mixed = []
        for head in range(4):
            queries, keys, values = (heads[:, part, head] for part in range(3))
            weights = (rotate(queries) @ rotate(keys).T / attention.head**0.5).softmax(dim=-1)
            mixed.append(weights @ values)
        torch.testing.assert_close(actual[row, :length], attention.output(torch.cat(mixed, dim=-1)))
