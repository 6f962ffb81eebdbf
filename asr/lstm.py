"""Both directions of a BiLSTM on a CPU in bfloat16, with a backward pass of our own.

oneDNN, whose forward pass this is, adds to the gradient of the weights at every frame: a product of few rows into a
matrix that no cache holds, and most of the time of training. Here the frames' gradients are kept, and one product of
all frames is made at the end. `benchmarks/lstm.py` has the gain.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from asr.kernel import compiled


def both_directions(x: Tensor, forwards: nn.LSTM, backwards: nn.LSTM) -> Tensor:
    """`(directions, batch, frames, inputs)`, one for each LSTM (batch first, one layer) -> their outputs `(directions,
    batch, frames, width)` in bfloat16, with gradients for all weights."""
    weights = (*forwards.parameters(), *backwards.parameters())
    return OwnBackward.apply(x.bfloat16().transpose(1, 2), *weights).transpose(1, 2)


class OwnBackward(torch.autograd.Function):
    """`(directions, frames, batch, inputs)` bfloat16 and each direction's weights as `nn.LSTM` orders them ->
    `(directions, frames, batch, width)`."""

    @staticmethod
    def forward(context, x: Tensor, *weights: Tensor) -> Tensor:
        weights = [weight.bfloat16() for weight in weights]
        start = x.new_zeros(1, x.shape[2], weights[1].shape[1])
        options = (True, 1, 0.0, False, False, False)  # biases, layers, dropout, training, directions, batch first
        directions = zip(x, (weights[:4], weights[4:]), strict=True)
        outputs = torch.stack([torch.lstm(frames, (start, start), own, *options)[0] for frames, own in directions])
        context.save_for_backward(x, outputs, *weights)
        return outputs

    @staticmethod
    def backward(context, above: Tensor) -> tuple[Tensor, ...]:
        x, outputs, *weights = context.saved_tensors
        inputs, recurrent, *biases = (torch.stack(weights[index::4]) for index in range(4))
        before = pad(outputs[:, :-1], (0, 0, 0, 0, 1, 0))
        heard = torch.cat([x, before], dim=-1).flatten(1, 2)
        both = torch.cat([inputs, recurrent], dim=-1)
        gates = torch.baddbmm(sum(biases).unsqueeze(1), heard, both.transpose(1, 2))
        gates = gates.view(*x.shape[:3], -1)
        changes, bias = _through_time(gates, above, recurrent)
        changes = changes.flatten(1, 2)
        matrices = torch.bmm(changes.transpose(1, 2), heard).split([x.shape[-1], outputs.shape[-1]], dim=-1)
        gradients = [gradient[index] for index in range(len(x)) for gradient in (*matrices, bias, bias)]
        return torch.bmm(changes, inputs).view_as(x), *gradients


def _through_time(gates: Tensor, above: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
    """Gates before their sigmoids, and the gradient of the outputs -> the gradient of the gates, in their place, and
    its sum over frames and rows, `(directions, 4 * width)` float32."""
    directions, steps, rows, width = above.shape
    gates[..., : 2 * width].sigmoid_()
    gates[..., 2 * width : 3 * width].tanh_()
    gates[..., 3 * width :].sigmoid_()
    bits = gates.view(torch.int16).numpy().view(np.uint16)  # NumPy has no bfloat16
    cells = np.zeros((steps + 1, directions, rows, width), np.float32)
    _remember(bits, cells)
    said = torch.from_numpy(cells[1:]).tanh().numpy()
    above = above.float().contiguous().numpy()
    hidden, cell = gates.new_zeros(directions, rows, width), np.zeros((directions, rows, width), np.float32)
    bias = np.zeros((directions, 4 * width), np.float32)
    frames, hidden_bits = gates.unbind(1), hidden.view(torch.int16).numpy().view(np.uint16)
    for step in reversed(range(steps)):
        _go_back(bits, cells, said, above, hidden_bits, cell, bias, step)
        torch.bmm(frames[step], recurrent, out=hidden)
    return gates, torch.from_numpy(bias)


@compiled(fastmath=True)
def _remember(gates: np.ndarray, cells: np.ndarray) -> None:
    """The cells after each frame, from the gates as bits of bfloat16."""
    directions, steps, rows, _ = gates.shape
    width = cells.shape[-1]
    wide = np.empty(4 * width, np.uint32)
    values = wide.view(np.float32)
    for step in range(steps):
        for direction in range(directions):
            for row in range(rows):
                own = gates[direction, step, row]
                for i in range(3 * width):
                    wide[i] = np.uint32(own[i]) << 16
                before, after = cells[step, direction, row], cells[step + 1, direction, row]
                for i in range(width):
                    after[i] = values[width + i] * before[i] + values[i] * values[2 * width + i]


@compiled(fastmath=True)
def _go_back(
    gates: np.ndarray,
    cells: np.ndarray,
    said: np.ndarray,
    above: np.ndarray,
    hidden: np.ndarray,
    cell: np.ndarray,
    bias: np.ndarray,
    step: int,
) -> None:
    """One frame's gates replaced by their gradient, which is added to `bias`; `cell` by that of the cells before it.
    `hidden` is the gradient that comes from the frame after it, as bits of bfloat16."""
    directions, _, rows, _ = gates.shape
    width = cells.shape[-1]
    wide, change, fed = np.empty(4 * width, np.uint32), np.empty(4 * width, np.float32), np.empty(width, np.uint32)
    values, rounded, later = wide.view(np.float32), change.view(np.uint32), fed.view(np.float32)
    for direction in range(directions):
        for row in range(rows):
            own = gates[direction, step, row]
            for i in range(4 * width):
                wide[i] = np.uint32(own[i]) << 16
            for i in range(width):
                fed[i] = np.uint32(hidden[direction, row, i]) << 16
            before, mouth = cells[step, direction, row], said[step, direction, row]
            upper, memory = above[direction, step, row], cell[direction, row]
            for i in range(width):
                enter, forget = values[i], values[width + i]
                candidate, leave = values[2 * width + i], values[3 * width + i]
                output = later[i] + upper[i]
                kept = memory[i] + output * leave * (np.float32(1) - mouth[i] * mouth[i])
                change[i] = kept * candidate * enter * (np.float32(1) - enter)
                change[width + i] = kept * before[i] * forget * (np.float32(1) - forget)
                change[2 * width + i] = kept * enter * (np.float32(1) - candidate * candidate)
                change[3 * width + i] = output * mouth[i] * leave * (np.float32(1) - leave)
                memory[i] = kept * forget
            total = bias[direction]
            for i in range(4 * width):
                total[i] += change[i]
            for i in range(4 * width):
                # To the nearest, ties to even, as bfloat16 is rounded everywhere.
                own[i] = (rounded[i] + np.uint32(0x7FFF) + ((rounded[i] >> 16) & np.uint32(1))) >> 16
