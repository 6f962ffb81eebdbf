"""The CTC loss on a CPU against PyTorch's in double precision."""

import math

import pytest
import torch
from torch.nn.functional import ctc_loss

from asr.model.ctc_loss import CtcLoss


def both(logits: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor, token_lengths: torch.Tensor):
    """Loss and gradient of the logits: ours, and PyTorch's in double precision."""
    ours, exact = logits.clone().requires_grad_(), logits.double().requires_grad_()
    loss = CtcLoss.apply(ours.log_softmax(-1), tokens, lengths, token_lengths)
    output = exact.log_softmax(-1).transpose(0, 1)
    exact_loss = ctc_loss(output, tokens, lengths, token_lengths, reduction="sum")
    for each in (loss, exact_loss):
        each.backward()
    return loss.item(), ours.grad, exact_loss.item(), exact.grad


# Logits as sure as 60 have probabilities far below what float32, and even float64, can hold.
@pytest.mark.parametrize("sure", [0.1, 1.0, 20.0, 60.0])
def test_loss_and_gradient_are_those_of_double_precision(sure):
    torch.manual_seed(0)
    lengths, token_lengths = torch.tensor([300, 260, 90, 40]), torch.tensor([120, 1, 0, 17])
    tokens = torch.randint(1, 6, (int(token_lengths.sum()),))  # of so few, many are repeated
    loss, gradient, exact_loss, exact_gradient = both(sure * torch.randn(4, 300, 6), tokens, lengths, token_lengths)
    assert loss == pytest.approx(exact_loss, rel=1e-5)
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=0, atol=2e-5)
    assert not gradient[2, 90:].any()


def test_a_reference_that_just_fits():
    tokens, logits = torch.tensor([1, 1, 2]), torch.randn(1, 4, 3)  # a blank must part the repeated token
    loss, gradient, exact_loss, exact_gradient = both(logits, tokens, torch.tensor([4]), torch.tensor([3]))
    assert loss == pytest.approx(exact_loss, rel=1e-5)
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=0, atol=1e-5)


def test_nan_gives_a_nan_loss():
    output = torch.full((1, 4, 3), math.nan)
    assert math.isnan(CtcLoss.apply(output, torch.tensor([1]), torch.tensor([4]), torch.tensor([1])))
