"""The acoustic model: log-mel features -> log-probabilities of tokens for each output frame.

Padding never changes a result: what lies behind an utterance's end is set to zero before every convolution, and
the backward LSTM starts at each utterance's own last frame.
"""

import torch
from torch import Tensor, nn

from asr.config import ModelConfig


class ConvSubsampling(nn.Module):
    """Stride-2 convolutions over time and frequency (as in Deep Speech 2, Amodei et al. 2016), one for each halving.

    `(batch, frames, mels)` -> `(batch, ceil(frames / factor), features)`.
    """

    def __init__(self, factor: int, mels: int, channels: int):
        super().__init__()
        halvings = factor.bit_length() - 1
        self.convolutions = nn.ModuleList(
            nn.Conv2d(1 if i == 0 else channels, channels, kernel_size=3, stride=2, padding=1) for i in range(halvings)
        )
        for _ in range(halvings):
            mels = (mels + 1) // 2
        self.features = mels * channels if halvings else mels
        self.receptive_frames = 2 ** (halvings + 1) - 1

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Output frames for input frames, any shape."""
        for _ in self.convolutions:
            lengths = (lengths + 1) // 2
        return lengths

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = _silence_padding(features, lengths).unsqueeze(1)
        for convolution in self.convolutions:
            lengths = (lengths + 1) // 2
            x = _silence_padding(torch.relu(convolution(x)), lengths, dim=2)
        return x.transpose(1, 2).flatten(2), lengths


class BiLstmLayer(nn.Module):
    """Two LSTMs (Hochreiter & Schmidhuber 1997), one along time and one against it, their outputs side by side.

    `(batch, frames, inputs)` -> `(batch, frames, 2 * width)`. The backward one reads each utterance reversed within
    its own length: the result of packed sequences, at two to five times their speed on a CPU.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.forwards = nn.LSTM(inputs, width, batch_first=True)
        self.backwards = nn.LSTM(inputs, width, batch_first=True)
        for lstm in (self.forwards, self.backwards):
            with torch.no_grad():
                # A forget gate open at first lets gradients reach far back (Jozefowicz et al. 2015).
                lstm.bias_ih_l0[width : 2 * width] = 1.0
                lstm.bias_hh_l0[width : 2 * width] = 0.0

    def forward(self, x: Tensor, reversal: Tensor) -> Tensor:
        """`reversal` `(batch, frames, 1)` holds, for each frame, the frame at the same distance from the end."""
        ahead, _ = self.forwards(x)
        back, _ = self.backwards(_reverse(x, reversal))
        return torch.cat([ahead, _reverse(back, reversal)], dim=-1)


class AcousticModel(nn.Module):
    """Subsampling, bidirectional LSTM layers with layer normalisation and dropout between, and a linear CTC head.

    Token 0 is the blank.
    """

    def __init__(self, config: ModelConfig, mels: int, tokens: int):
        super().__init__()
        self.subsampling = ConvSubsampling(config.subsampling, mels, config.channels)
        inputs = [self.subsampling.features] + [2 * config.width] * (config.layers - 1)
        self.layers = nn.ModuleList(BiLstmLayer(size, config.width) for size in inputs)
        self.norms = nn.ModuleList(nn.LayerNorm(2 * config.width) for _ in inputs)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(2 * config.width, tokens)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Output frames for feature frames."""
        return self.subsampling.output_lengths(lengths)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features `(batch, frames, mels)` and their lengths `(batch,)` in frames -> float32 log-probabilities
        `(batch, output frames, tokens)` and their lengths; what lies behind a length means nothing."""
        x, lengths = self.subsampling(features, lengths)
        reversal = reversed_frames(lengths, x.shape[1]).unsqueeze(-1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.dropout(norm(layer(x, reversal)))
        return torch.log_softmax(self.head(x).float(), dim=-1), lengths

    def parameter_count(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.parameters())


def reversed_frames(lengths: Tensor, frames: int) -> Tensor:
    """`(batch, frames)` positions that reverse each row within its length and leave the padding where it is.

    >>> reversed_frames(torch.tensor([3, 2]), 3)
    tensor([[2, 1, 0],
            [1, 0, 2]])
    """
    position = torch.arange(frames, device=lengths.device).unsqueeze(0)
    mirrored = lengths.unsqueeze(1) - 1 - position
    return torch.where(mirrored >= 0, mirrored, position)


def _reverse(x: Tensor, reversal: Tensor) -> Tensor:
    return x.gather(1, reversal.expand(-1, -1, x.shape[-1]))


def _silence_padding(x: Tensor, lengths: Tensor, dim: int = 1) -> Tensor:
    """`x` with zeros behind each row's length; time is `dim`."""
    outside = torch.arange(x.shape[dim], device=x.device) >= lengths.unsqueeze(1)
    shape = [1] * x.dim()
    shape[0], shape[dim] = outside.shape
    return x.masked_fill(outside.view(shape), 0.0)
