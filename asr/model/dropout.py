"""Dropout (Srivastava et al. 2014), fast on a CPU."""

import torch
from torch import Tensor, nn

CHOICES = 2**16  # that 16 random bits give an element


class Dropout(nn.Dropout):
    """PyTorch's, but on a CPU from 16 random bits for each element. PyTorch draws a number for each by itself there."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0 or x.device.type != "cpu":
            return super().forward(x)
        return x * self._mask(x)

    def _mask(self, x: Tensor) -> Tensor:
        """0 for what is dropped, and for the rest what keeps the sum."""
        dropped = round(self.p * CHOICES)
        if dropped == CHOICES:
            return torch.zeros_like(x)
        fours = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = fours.view(torch.int16)[: x.numel()].view(x.shape)
        return bits.ge_(dropped - CHOICES // 2).to(x.dtype).mul_(CHOICES / (CHOICES - dropped))
