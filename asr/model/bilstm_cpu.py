"""Both directions of a BiLSTM on a CPU in bfloat16, as they are learned: forward and backward passes of our own.

oneDNN adds to the gradient of the weights at every frame: a product of few rows into a matrix that no cache holds, and
most of the time of training. Here the frames' gradients are kept, and one product of all frames is made at the end; and
the backward pass finds gates and cells as the forward pass left them. `benchmarks/lstm.py` has the gain.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from asr.utils.numba_cache import compiled

LOG2_E, TWO = np.float32(1.4426950408889634), np.float32(2)
MOST_POWER = np.float32(100)  # a sigmoid is 0 or 1 long before it
WHOLE = np.float32(1.5 * 2**23)
T0, T1, T2, T3, T4, T5 = (np.float32(math.log(2) ** n / math.factorial(n)) for n in range(6))  # Taylor's, of 2^x


def both_directions(x: Tensor, forwards: nn.LSTM, backwards: nn.LSTM) -> Tensor:
    """`(directions, batch, frames, inputs)`, one for each LSTM (batch first, one layer) -> their outputs `(directions,
    batch, frames, width)` in bfloat16, with gradients for all weights."""
    weights = (*forwards.parameters(), *backwards.parameters())
    return Directions.apply(x.bfloat16().transpose(1, 2), *weights).transpose(1, 2)


class Directions(torch.autograd.Function):
    """`(directions, frames, batch, inputs)` bfloat16 and each direction's weights as `nn.LSTM` orders them ->
    `(directions, frames, batch, width)`."""

    @staticmethod
    def forward(context, x: Tensor, *weights: Tensor) -> Tensor:
        inputs, recurrent, *biases = (torch.stack(weights[index::4]).bfloat16() for index in range(4))
        x = x.contiguous()
        gates = torch.baddbmm(sum(biases).unsqueeze(1), x.flatten(1, 2), inputs.transpose(1, 2)).view(*x.shape[:3], -1)
        outputs, cells, said = _listen(gates, recurrent)
        context.save_for_backward(x, outputs, gates, cells, said, inputs, recurrent)
        return outputs

    @staticmethod
    def backward(context, above: Tensor) -> tuple[Tensor, ...]:
        x, outputs, gates, cells, said, inputs, recurrent = context.saved_tensors
        changes, bias = _go_through(gates, cells, said, above, recurrent)
        changes = changes.flatten(1, 2)
        before = pad(outputs[:, :-1], (0, 0, 0, 0, 1, 0))
        heard = torch.cat([x, before], dim=-1).flatten(1, 2)
        matrices = torch.bmm(changes.transpose(1, 2), heard).split([x.shape[-1], outputs.shape[-1]], dim=-1)
        gradients = [gradient[index] for index in range(len(x)) for gradient in (*matrices, bias, bias)]
        return torch.bmm(changes, inputs).view_as(x), *gradients


def _listen(gates: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the inputs give to the gates, `(directions, frames, batch, 4 * width)` -> the outputs, and, float32, the
    cells before each frame and after the last, `(frames + 1, directions, batch, width)`, and their tanh after each
    frame; `gates` become what they are behind their sigmoids and tanh."""
    directions, steps, rows, width = *gates.shape[:3], gates.shape[3] // 4
    outputs, product = gates.new_empty(directions, steps, rows, width), gates.new_zeros(directions, rows, 4 * width)
    cells, said = torch.zeros(steps + 1, directions, rows, width), torch.empty(steps, directions, rows, width)
    arrays = _bits(gates), _bits(product), cells.numpy(), said.numpy(), _bits(outputs)
    frames, weights = outputs.unbind(1), recurrent.transpose(1, 2)
    for step in range(steps):
        if step:
            torch.bmm(frames[step - 1], weights, out=product)
        _hear(*arrays, step)
    return outputs, cells, said


def _go_through(gates: Tensor, cells: Tensor, said: Tensor, above: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
    """What `_listen` left and the gradient of the outputs -> the gradient of the gates, in their place, and its sum
    over frames and rows, `(directions, 4 * width)` float32."""
    directions, steps, rows, width = above.shape
    hidden, cell = gates.new_zeros(directions, rows, width), np.zeros((directions, rows, width), np.float32)
    bias = np.zeros((directions, 4 * width), np.float32)
    arrays = _bits(gates), cells.numpy(), said.numpy(), above.float().contiguous().numpy(), _bits(hidden), cell, bias
    frames = gates.unbind(1)
    for step in reversed(range(steps)):
        _go_back(*arrays, step)
        torch.bmm(frames[step], recurrent, out=hidden)
    return gates, torch.from_numpy(bias)


def _bits(tensor: Tensor) -> np.ndarray:
    """A bfloat16 tensor's memory: NumPy has no such numbers."""
    return tensor.view(torch.int16).numpy().view(np.uint16)


@compiled(fastmath={"contract"})
def _sigmoid(values: np.ndarray, shifted: np.ndarray, given: np.ndarray) -> None:
    """In place. 2^x is the whole part of x in the exponent's bits times a polynomial of the rest, so that the loops
    compile to vector instructions; what is no number stays none. The other two are room for as many numbers."""
    bits, exponents = values.view(np.uint32), shifted.view(np.uint32)
    for i in range(len(values)):
        given[i] = values[i]
        power = min(max(values[i] * -LOG2_E, -MOST_POWER), MOST_POWER)
        shifted[i] = power + WHOLE  # so large that what lies behind the point has no room
        rest = power - (shifted[i] - WHOLE)
        values[i] = T0 + rest * (T1 + rest * (T2 + rest * (T3 + rest * (T4 + rest * T5))))
    for i in range(len(values)):
        bits[i] += exponents[i] << np.uint32(23)
    for i in range(len(values)):
        values[i] = T0 / (T0 + values[i]) + (given[i] - given[i])


@compiled(fastmath={"contract"})
def _hear(
    gates: np.ndarray, product: np.ndarray, cells: np.ndarray, said: np.ndarray, outputs: np.ndarray, step: int
) -> None:
    """One frame of `_listen`; `product` is what the outputs before it give to the gates."""
    directions, _, rows, _ = gates.shape
    width = cells.shape[-1]
    wide, fed, room = np.empty(4 * width, np.uint32), np.empty(4 * width, np.uint32), np.empty(4 * width, np.float32)
    values, more = wide.view(np.float32), fed.view(np.float32)
    for direction in range(directions):
        for row in range(rows):
            own, recalled = gates[direction, step, row], product[direction, row]
            for i in range(4 * width):
                wide[i] = np.uint32(own[i]) << 16
                fed[i] = np.uint32(recalled[i]) << 16
            for i in range(4 * width):
                values[i] += more[i]
            for i in range(2 * width, 3 * width):
                values[i] *= TWO  # tanh(x) is 2 sigmoid(2 x) - 1
            _sigmoid(values, room, more)
            for i in range(2 * width, 3 * width):
                values[i] = TWO * values[i] - T0
            before, after, mouth = (
                cells[step, direction, row],
                cells[step + 1, direction, row],
                said[step, direction, row],
            )
            for i in range(width):
                after[i] = values[width + i] * before[i] + values[i] * values[2 * width + i]
                mouth[i] = TWO * after[i]
            _round(wide, own)
            _sigmoid(mouth, room, more)
            for i in range(width):
                mouth[i] = TWO * mouth[i] - T0
                values[i] = values[3 * width + i] * mouth[i]
            _round(wide, outputs[direction, step, row])


@compiled
def _round(wide: np.ndarray, narrow: np.ndarray) -> None:
    """Bits of float32 to those of bfloat16: to the nearest, ties to even, as everywhere."""
    for i in range(len(narrow)):
        narrow[i] = (wide[i] + np.uint32(0x7FFF) + ((wide[i] >> 16) & np.uint32(1))) >> 16


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
            _round(rounded, own)
