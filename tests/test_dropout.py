"""Dropout: its share, its seed, its limits."""

import torch

from asr.model.dropout import Dropout


def test_it_drops_its_share_and_keeps_the_sum():
    torch.manual_seed(0)
    x = torch.ones(10, 101, 103, requires_grad=True)
    y = Dropout(0.3)(x)
    assert abs((y == 0).float().mean() - 0.3) < 0.01
    assert abs(y.mean() - 1) < 0.01
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


def test_the_seed_decides_what_is_dropped_and_evaluation_drops_nothing():
    dropout, x = Dropout(0.5), torch.ones(64, 65)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(x))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(dropout.eval()(x), x)


def test_everything_can_be_dropped():
    assert not Dropout(1.0)(torch.ones(8)).any()
