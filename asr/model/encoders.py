"""The encoder families: how a layer lets one frame learn from others, or not at all.

Every layer has one signature: `Layer(inputs, width, dropout)`, called with `(batch, frames, inputs)` and the `Span` of
the batch, gives `(batch, frames, layer.size)`. What lies behind an utterance's end never changes what lies before it.
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

EXPANSION = 4  # hidden units of a feed-forward branch for each of its width (Vaswani et al. 2017)

# On a GPU both directions' weights are handed to cuDNN, which would rather find them in one block of memory; copying
# them together is nothing beside the recurrence itself.
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")


class Span:
    """Where each utterance of a padded batch ends; made once for all layers, each part of it when first needed."""

    def __init__(self, lengths: Tensor, frames: int):
        self.lengths, self.frames = lengths, frames

    @cached_property
    def inside(self) -> Tensor:
        """`(batch, frames)`: True for an utterance's own frames."""
        return torch.arange(self.frames, device=self.lengths.device) < self.lengths.unsqueeze(1)

    @cached_property
    def reversal(self) -> Tensor:
        """`(batch * frames,)`: for each frame the one at the same distance from its utterance's end, all rows counted
        through."""
        rows = torch.arange(len(self.lengths), device=self.lengths.device).unsqueeze(1)
        return (reversed_frames(self.lengths, self.frames) + rows * self.frames).flatten()

    @cached_property
    def host_lengths(self) -> Tensor:
        """`(batch,)` lengths in the processor's memory, where packing wants them; fetched from a GPU once."""
        return self.lengths.cpu()


class Layer(nn.Module):
    """What all families share.

    `size` is the number of features of an output frame. A layer that is not `residual` needs normalisation and dropout
    behind it; a residual one has its own.
    """

    size: int
    residual: ClassVar[bool] = False


class RecurrentLayer(Layer):
    """One recurrent network along time: what it says of a frame follows from that frame and those before it."""

    cell: ClassVar[type[nn.RNNBase]]

    def __init__(self, inputs: int, width: int, dropout: float):
        super().__init__()
        self.size = width
        self.forwards = self.cell(inputs, width, batch_first=True)

    def forward(self, x: Tensor, span: Span) -> Tensor:
        return self.forwards(x)[0]


class RnnLayer(RecurrentLayer):
    """Elman's network (1990) with tanh. Its recurrent matrix starts orthogonal, the best start known for a network
    without gates: random ones shrink or blow up what they carry from the first frame on (Saxe et al. 2014)."""

    cell = nn.RNN

    def __init__(self, inputs: int, width: int, dropout: float):
        super().__init__(inputs, width, dropout)
        nn.init.orthogonal_(self.forwards.weight_hh_l0)


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
    """Two LSTMs, one along time and one against it, their outputs side by side (Graves & Schmidhuber 2005).

    `size` is twice the width.
    """

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
        """The backward LSTM reads each utterance reversed within its own length: the result of packing, at two to
        five times its speed on a CPU."""
        back = reverse(x, span.reversal)
        if torch.is_grad_enabled() and torch.is_autocast_enabled("cpu"):
            from asr.model.bilstm_cpu import both_directions

            ahead, back = both_directions(torch.stack([x, back]), self.forwards, self.backwards)
        else:
            ahead, back = self.forwards(x)[0], self.backwards(back)[0]
        return torch.cat([ahead, reverse(back, span.reversal)], dim=-1)

    def packed(self, x: Tensor, span: Span) -> Tensor:
        """Both directions in one call and without the padding: what cuDNN is fastest at."""
        frames = pack_padded_sequence(x, span.host_lengths, batch_first=True, enforce_sorted=False)
        start = x.new_zeros(2, len(x), self.size // 2)
        weights = [*self.forwards.parameters(), *self.backwards.parameters()]
        options = {"has_biases": True, "num_layers": 1, "dropout": 0.0, "train": self.training, "bidirectional": True}
        data, _, _ = torch.lstm(frames.data, frames.batch_sizes, (start, start), weights, **options)
        return pad_packed_sequence(frames._replace(data=data), batch_first=True, total_length=span.frames)[0]


class ResidualLayer(Layer):
    """A branch that mixes frames, then one that works on each frame alone, each added to what came in.

    Each branch normalises its input (Xiong et al. 2020), so that gradients reach the first layer unchanged. Where the
    number of features must change, a linear map does it first. Without `mix` no frame learns from another.
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
    """No memory: each frame by itself."""


class CnnLayer(ResidualLayer):
    """Time-depth separable convolution (Hannun et al. 2019): along time in each feature, then across features."""

    def __init__(self, inputs: int, width: int, dropout: float):
        super().__init__(inputs, width, dropout, SeparableConvolution(width))


class TransformerLayer(ResidualLayer):
    """Self-attention over the whole utterance (Vaswani et al. 2017)."""

    def __init__(self, inputs: int, width: int, dropout: float):
        super().__init__(inputs, width, dropout, RotaryAttention(width))


class SeparableConvolution(nn.Module):
    """A convolution along time within each feature, then a linear map of each frame: `(batch, frames, width)` to the
    same."""

    def __init__(self, width: int):
        super().__init__()
        self.along_time = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.across = nn.Linear(width, width)

    def forward(self, x: Tensor, span: Span) -> Tensor:
        x = x.masked_fill(~span.inside.unsqueeze(-1), 0.0)
        return self.across(torch.relu(self.along_time(x.transpose(1, 2))).transpose(1, 2))


class RotaryAttention(nn.Module):
    """Attention of `HEADS` heads, positions told by rotation (Su et al. 2021): `(batch, frames, width)` to the same.

    What a frame gives to another depends on their contents and on the distance between them, so that utterances may
    be longer than any that was learned from.
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
    """`(..., frames, size)` with the pair of features i and i + size / 2 turned by frame * 10000^(-2i / size)."""
    frames, half = x.shape[-2], x.shape[-1] // 2
    speed = 10000.0 ** (-torch.arange(half, device=x.device) / half)
    angle = torch.arange(frames, device=x.device).unsqueeze(1) * speed
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def open_forget_gate(lstm: nn.LSTM) -> None:
    """A forget gate open at first lets gradients reach far back (Jozefowicz et al. 2015)."""
    width = lstm.hidden_size
    with torch.no_grad():
        lstm.bias_ih_l0[width : 2 * width] = 1.0
        lstm.bias_hh_l0[width : 2 * width] = 0.0


def reversed_frames(lengths: Tensor, frames: int) -> Tensor:
    """`(batch, frames)` positions that reverse each row within its length and leave the padding where it is.

    >>> reversed_frames(torch.tensor([3, 2]), 3)
    tensor([[2, 1, 0],
            [1, 0, 2]])
    """
    position = torch.arange(frames, device=lengths.device).unsqueeze(0)
    mirrored = lengths.unsqueeze(1) - 1 - position
    return torch.where(mirrored >= 0, mirrored, position)


def reverse(x: Tensor, reversal: Tensor) -> Tensor:
    """`(batch, frames, size)` with its frames in the order of `Span.reversal`."""
    return Reverse.apply(x, reversal)


class Reverse(torch.autograd.Function):
    """Its own inverse, so that gradients take the same way back: a few times faster than those of `gather`."""

    @staticmethod
    def forward(context, x: Tensor, reversal: Tensor) -> Tensor:
        context.save_for_backward(reversal)
        return x.flatten(0, 1).index_select(0, reversal).view_as(x)

    @staticmethod
    def backward(context, above: Tensor) -> tuple[Tensor, None]:
        (reversal,) = context.saved_tensors
        return above.flatten(0, 1).index_select(0, reversal).view_as(above), None
