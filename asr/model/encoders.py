"""The encoder families: how a layer mixes information across frames.

Every layer has one signature: `Layer(inputs, width, dropout)`, called with `(batch, frames, inputs)` and the `Span` of
the batch, returns `(batch, frames, layer.size)`. Padding never changes an utterance's own frames.
"""

import math
import warnings
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.model.config import HEADS, KERNEL
from asr.model.dropout import Dropout
from asr.utils.device import in_float32

EXPANSION = 4  # hidden size of a feed-forward branch, times the width (Vaswani et al. 2017)

# cuDNN warns that both directions' weights are not one block of memory; copying them together costs nothing beside the
# recurrence.
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")


class Span:
    """Utterance lengths of a padded batch and what layers derive from them, computed once for all layers."""

    def __init__(self, lengths: Tensor, frames: int):
        self.lengths, self.frames = lengths, frames

    @cached_property
    def inside(self) -> Tensor:
        """`(batch, frames)`: True for frames that are not padding."""
        return torch.arange(self.frames, device=self.lengths.device) < self.lengths.unsqueeze(1)

    @cached_property
    def reversal(self) -> Tensor:
        """`(batch * frames,)` indices into the flattened batch that reverse each utterance within its length."""
        rows = torch.arange(len(self.lengths), device=self.lengths.device).unsqueeze(1)
        return (reversed_frames(self.lengths, self.frames) + rows * self.frames).flatten()

    @cached_property
    def host_lengths(self) -> Tensor:
        """`(batch,)` lengths in CPU memory, where packing needs them; copied from a GPU once."""
        return self.lengths.cpu()


class Layer(nn.Module):
    """Base of all families.

    `size` is the number of features per output frame. `residual` layers have their own normalisation and dropout;
    others need both after them.
    """

    size: int
    residual: ClassVar[bool] = False


class RecurrentLayer(Layer):
    """One causal recurrent network: an output depends on its own frame and those before."""

    cell: ClassVar[type[nn.RNN | nn.GRU | nn.LSTM]]

    def __init__(self, inputs: int, width: int, dropout: float):
        super().__init__()
        self.size = width
        self.forwards = self.cell(inputs, width, batch_first=True)

    def forward(self, x: Tensor, span: Span) -> Tensor:
        return in_float32(self.forwards, x)[0]


class RnnLayer(RecurrentLayer):
    """Elman network (1990) with tanh."""

    cell = nn.RNN


class GruLayer(RecurrentLayer):
    """Gated recurrent units (Cho et al. 2014)."""

    cell = nn.GRU


class LstmLayer(RecurrentLayer):
    """Long short-term memory (Hochreiter & Schmidhuber 1997)."""

    cell = nn.LSTM

    def __init__(self, inputs: int, width: int, dropout: float):
        super().__init__(inputs, width, dropout)
        open_forget_gate(self.forwards)


class BiLstmLayer(Layer):
    """A forward and a backward LSTM, outputs concatenated (Graves & Schmidhuber 2005); `size` is twice the width."""

    def __init__(self, inputs: int, width: int, dropout: float):
        super().__init__()
        self.size = 2 * width
        self.forwards = nn.LSTM(inputs, width, batch_first=True)
        self.backwards = nn.LSTM(inputs, width, batch_first=True)
        for lstm in (self.forwards, self.backwards):
            open_forget_gate(lstm)

    def forward(self, x: Tensor, span: Span) -> Tensor:
        return self.packed(x, span) if x.is_cuda else self.reversed(x, span)

    def reversed(self, x: Tensor, span: Span) -> Tensor:
        """The backward LSTM reads each utterance reversed within its length: the same result as packing, two to five
        times as fast on a CPU."""
        mirrored = reverse(x, span.reversal)
        if torch.is_grad_enabled() and torch.is_autocast_enabled("cpu"):
            from asr.model.bilstm_cpu import both_directions

            ahead, back = both_directions(torch.stack([x, mirrored]), self.forwards, self.backwards)
        else:
            ahead, back = self.forwards(x)[0], self.backwards(mirrored)[0]
        return torch.cat([ahead, reverse(back, span.reversal)], dim=-1)

    @torch.autocast("cuda", enabled=False)
    def packed(self, x: Tensor, span: Span) -> Tensor:
        """Both directions in one call without padding, which is what cuDNN is fastest at; see `in_float32`."""
        frames = pack_padded_sequence(x.float(), span.host_lengths, batch_first=True, enforce_sorted=False)
        start = frames.data.new_zeros(2, len(x), self.size // 2)
        weights: list[Tensor] = [*self.forwards.parameters(), *self.backwards.parameters()]
        data, _, _ = torch.lstm(
            frames.data,
            frames.batch_sizes,
            (start, start),
            weights,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=self.training,
            bidirectional=True,
        )
        return pad_packed_sequence(frames._replace(data=data), batch_first=True, total_length=span.frames)[0]


class ResidualLayer(Layer):
    """A residual branch that mixes frames (`mix`, if given), then a feed-forward one per frame.

    Branches normalise their input (pre-norm, Xiong et al. 2020). A linear map changes the number of features first
    where it must.
    """

    residual = True

    def __init__(self, inputs: int, width: int, dropout: float, mix: nn.Module | None = None):
        super().__init__()
        self.size = width
        self.resize = nn.Linear(inputs, width) if inputs != width else nn.Identity()
        self.mix = mix
        if mix is not None:
            self.mix_norm = nn.LayerNorm(width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, EXPANSION * width), nn.ReLU(), nn.Linear(EXPANSION * width, width))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, span: Span) -> Tensor:
        x = self.resize(x)
        if self.mix is not None:
            x = x + self.dropout(self.mix(self.mix_norm(x), span))
        return x + self.dropout(self.feed(self.feed_norm(x)))


class FeedForwardLayer(ResidualLayer):
    """No context: each frame by itself."""


class CnnLayer(ResidualLayer):
    """Time-depth separable convolution (Hannun et al. 2019): along time per feature, then across features."""

    def __init__(self, inputs: int, width: int, dropout: float):
        super().__init__(inputs, width, dropout, SeparableConvolution(width))


class TransformerLayer(ResidualLayer):
    """Self-attention over the whole utterance (Vaswani et al. 2017)."""

    def __init__(self, inputs: int, width: int, dropout: float):
        super().__init__(inputs, width, dropout, RotaryAttention(width))


class SeparableConvolution(nn.Module):
    """A depthwise convolution along time, then a linear map per frame; `(batch, frames, width)` in and out."""

    def __init__(self, width: int):
        super().__init__()
        self.along_time = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.across = nn.Linear(width, width)

    def forward(self, x: Tensor, span: Span) -> Tensor:
        x = x.masked_fill(~span.inside.unsqueeze(-1), 0.0)
        return self.across(torch.relu(self.along_time(x.transpose(1, 2))).transpose(1, 2))


class RotaryAttention(nn.Module):
    """Multi-head attention with rotary positions (Su et al. 2021); `(batch, frames, width)` in and out.

    Positions enter as distances only, so utterances may be longer than any in training.
    """

    def __init__(self, width: int):
        super().__init__()
        self.head = 2 * math.ceil(width / (2 * HEADS))  # even, since rotation takes pairs
        self.project = nn.Linear(width, 3 * HEADS * self.head)
        self.output = nn.Linear(HEADS * self.head, width)

    def forward(self, x: Tensor, span: Span) -> Tensor:
        queries, keys, values = self.project(x).unflatten(-1, (3, HEADS, self.head)).permute(2, 0, 3, 1, 4)
        keep = span.inside[:, None, None]
        mixed = scaled_dot_product_attention(rotate(queries), rotate(keys), values, attn_mask=keep)
        return self.output(mixed.transpose(1, 2).flatten(2))


FAMILIES: dict[str, type[Layer]] = {
    "rnn": RnnLayer,
    "gru": GruLayer,
    "lstm": LstmLayer,
    "bilstm": BiLstmLayer,
    "cnn": CnnLayer,
    "transformer": TransformerLayer,
    "none": FeedForwardLayer,
}


def rotate(x: Tensor) -> Tensor:
    """Rotate the features i and i + size / 2 of `(..., frames, size)` by the angle frame * 10000^(-2i / size)."""
    frames, half = x.shape[-2], x.shape[-1] // 2
    speed = 10000.0 ** (-torch.arange(half, device=x.device) / half)
    angle = torch.arange(frames, device=x.device).unsqueeze(1) * speed
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def open_forget_gate(lstm: nn.RNNBase) -> None:
    """Set the forget gate's bias to 1, so that gradients reach far back from the start (Jozefowicz et al. 2015)."""
    width = lstm.hidden_size
    with torch.no_grad():
        lstm.get_parameter("bias_ih_l0")[width : 2 * width] = 1.0
        lstm.get_parameter("bias_hh_l0")[width : 2 * width] = 0.0


def reversed_frames(lengths: Tensor, frames: int) -> Tensor:
    """Indices `(batch, frames)` that reverse each row within its length and leave the padding in place.

    >>> reversed_frames(torch.tensor([3, 2]), 3)
    tensor([[2, 1, 0],
            [1, 0, 2]])
    """
    position = torch.arange(frames, device=lengths.device).unsqueeze(0)
    mirrored = lengths.unsqueeze(1) - 1 - position
    return torch.where(mirrored >= 0, mirrored, position)


def reverse(x: Tensor, reversal: Tensor) -> Tensor:
    """Reorder the frames of `(batch, frames, size)` by `Span.reversal`."""
    return Reverse.apply(x, reversal)


class Reverse(torch.autograd.Function):
    """`reverse` as an operation whose gradient is itself: a few times faster than that of `gather`."""

    @staticmethod
    def forward(context, x: Tensor, reversal: Tensor) -> Tensor:
        context.save_for_backward(reversal)
        return x.flatten(0, 1).index_select(0, reversal).view_as(x)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None]:
        (reversal,) = context.saved_tensors
        return gradient.flatten(0, 1).index_select(0, reversal).view_as(gradient), None
