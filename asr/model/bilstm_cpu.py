"""A BiLSTM layer's training step on a CPU in bfloat16: both directions at once, forward and backward.

oneDNN adds to the weights' gradient at every frame, a product of a few rows with a matrix that fits in no cache, which
takes most of the training time. Here the gates' gradients of all frames are kept and one product is made at the end;
the forward pass keeps gates and cells so that the backward pass need not recompute them. `benchmarks/lstm.py` measures
the gain.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from asr.utils.numba_cache import compiled

ONE, TWO, LOG2_E = np.float32(1), np.float32(2), np.float32(math.log2(math.e))
# Taylor coefficients of 2^x, of the first to the fifth power of x.
C1, C2, C3, C4, C5 = (np.float32(math.log(2) ** power / math.factorial(power)) for power in range(1, 6))
MAX_EXPONENT = np.float32(100)  # of two: the sigmoid has long reached 0 or 1
ROUNDER = np.float32(1.5 * 2**23)  # adding it leaves a float32 no bits behind the binary point


def both_directions(x: Tensor, forwards: nn.LSTM, backwards: nn.LSTM) -> Tensor:
    """Run two one-layer, batch-first LSTMs side by side, each on its own input.

    `(directions, batch, frames, inputs)` -> bfloat16 outputs `(directions, batch, frames, width)`, differentiable in
    the input and all weights.
    """
    weights = (*forwards.parameters(), *backwards.parameters())
    return BothDirections.apply(x.bfloat16().transpose(1, 2), *weights).transpose(1, 2)


class BothDirections(torch.autograd.Function):
    """`(directions, frames, batch, inputs)` bfloat16 and each direction's weights in `nn.LSTM`'s order ->
    `(directions, frames, batch, width)`."""

    @staticmethod
    def forward(context, x: Tensor, *weights: Tensor) -> Tensor:
        input_weights, recurrent_weights, *biases = (torch.stack(weights[i::4]).bfloat16() for i in range(4))
        bias = biases[0] + biases[1]
        x = x.contiguous()
        preactivations = torch.baddbmm(bias.unsqueeze(1), x.flatten(1, 2), input_weights.transpose(1, 2))
        gates = preactivations.view(*x.shape[:3], -1)
        outputs, cells, tanh_cells = _forward_frames(gates, recurrent_weights)
        context.save_for_backward(x, outputs, gates, cells, tanh_cells, input_weights, recurrent_weights)
        return outputs

    @staticmethod
    def backward(context, output_grads: Tensor) -> tuple[Tensor, ...]:
        x, outputs, gates, cells, tanh_cells, input_weights, recurrent_weights = context.saved_tensors
        gate_grads, bias_grads = _backward_frames(gates, cells, tanh_cells, output_grads, recurrent_weights)
        gate_grads = gate_grads.flatten(1, 2)
        previous_outputs = pad(outputs[:, :-1], (0, 0, 0, 0, 1, 0))
        multiplied = torch.cat([x, previous_outputs], dim=-1).flatten(1, 2)
        weight_grads = torch.bmm(gate_grads.transpose(1, 2), multiplied).split([x.shape[-1], outputs.shape[-1]], dim=-1)
        per_direction = zip(*weight_grads, bias_grads, bias_grads, strict=True)
        return torch.bmm(gate_grads, input_weights).view_as(x), *(grad for grads in per_direction for grad in grads)


def _forward_frames(gates: Tensor, recurrent_weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run the recurrence. `gates` `(directions, frames, batch, 4 * width)` come in as the inputs' share of the
    preactivations and are overwritten by the activations.

    Returns the bfloat16 outputs; and, in float32, the cells before each frame and after the last `(frames + 1,
    directions, batch, width)` and the tanh of the cells after each frame.
    """
    directions, frames, batch, width = *gates.shape[:3], gates.shape[3] // 4
    outputs = gates.new_empty(directions, frames, batch, width)
    recurrent_part = gates.new_zeros(directions, batch, 4 * width)
    cells = torch.zeros(frames + 1, directions, batch, width)
    tanh_cells = torch.empty(frames, directions, batch, width)
    arrays = _bits(gates), _bits(recurrent_part), cells.numpy(), tanh_cells.numpy(), _bits(outputs)
    outputs_by_frame, transposed = outputs.unbind(1), recurrent_weights.transpose(1, 2)
    for frame in range(frames):
        if frame:
            torch.bmm(outputs_by_frame[frame - 1], transposed, out=recurrent_part)
        _forward_frame(*arrays, frame)
    return outputs, cells, tanh_cells


def _backward_frames(
    gates: Tensor, cells: Tensor, tanh_cells: Tensor, output_grads: Tensor, recurrent_weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the recurrence backwards from what `_forward_frames` returned.

    Returns the gradient of the preactivations, which overwrites `gates`, and its float32 sum over frames and batch
    `(directions, 4 * width)`.
    """
    directions, frames, batch, width = output_grads.shape
    hidden_grads = gates.new_zeros(directions, batch, width)
    cell_grads = np.zeros((directions, batch, width), np.float32)
    bias_grads = np.zeros((directions, 4 * width), np.float32)
    output_grads = output_grads.float().contiguous()
    kept = _bits(gates), cells.numpy(), tanh_cells.numpy(), output_grads.numpy()
    gates_by_frame = gates.unbind(1)
    for frame in reversed(range(frames)):
        _backward_frame(*kept, _bits(hidden_grads), cell_grads, bias_grads, frame)
        torch.bmm(gates_by_frame[frame], recurrent_weights, out=hidden_grads)
    return gates, torch.from_numpy(bias_grads)


def _bits(tensor: Tensor) -> np.ndarray:
    """A bfloat16 tensor's memory as integers: NumPy has no bfloat16."""
    return tensor.view(torch.int16).numpy().view(np.uint16)


@compiled(fastmath={"contract"})
def _forward_frame(
    gates: np.ndarray,
    recurrent_part: np.ndarray,
    cells: np.ndarray,
    tanh_cells: np.ndarray,
    outputs: np.ndarray,
    frame: int,
) -> None:
    """One frame of `_forward_frames`; `recurrent_part` is the previous outputs' share of the preactivations."""
    directions, _, batch, _ = gates.shape
    width = cells.shape[-1]
    activation_bits = np.empty(4 * width, np.uint32)
    activations = activation_bits.view(np.float32)
    scratch, more_scratch = np.empty(4 * width, np.float32), np.empty(4 * width, np.float32)
    for direction in range(directions):
        for row in range(batch):
            _widen(gates[direction, frame, row], activation_bits)
            _widen(recurrent_part[direction, row], scratch.view(np.uint32))
            for i in range(4 * width):
                activations[i] += scratch[i]
            _activate_gates(activations, scratch, more_scratch)
            cell, next_cell = cells[frame, direction, row], cells[frame + 1, direction, row]
            tanh_cell = tanh_cells[frame, direction, row]
            for i in range(width):
                next_cell[i] = activations[width + i] * cell[i] + activations[i] * activations[2 * width + i]
                tanh_cell[i] = next_cell[i]
            _narrow(activation_bits, gates[direction, frame, row])
            _tanh(tanh_cell, scratch, more_scratch)
            for i in range(width):
                activations[i] = activations[3 * width + i] * tanh_cell[i]
            _narrow(activation_bits, outputs[direction, frame, row])


@compiled(fastmath={"contract"})
def _activate_gates(values: np.ndarray, scratch: np.ndarray, more_scratch: np.ndarray) -> None:
    """Preactivations -> activations, in place: sigmoids for the input, forget and output gates, tanh for the third
    quarter, the candidates."""
    width = len(values) // 4
    for i in range(2 * width, 3 * width):
        values[i] *= TWO
    _sigmoid(values, scratch, more_scratch)
    for i in range(2 * width, 3 * width):
        values[i] = TWO * values[i] - ONE


@compiled(fastmath={"contract"})
def _tanh(values: np.ndarray, scratch: np.ndarray, more_scratch: np.ndarray) -> None:
    """In place: tanh(x) = 2 sigmoid(2 x) - 1."""
    for i in range(len(values)):
        values[i] *= TWO
    _sigmoid(values, scratch, more_scratch)
    for i in range(len(values)):
        values[i] = TWO * values[i] - ONE


@compiled(fastmath={"contract"})
def _sigmoid(values: np.ndarray, shifted: np.ndarray, original: np.ndarray) -> None:
    """In place; NaN stays NaN. `shifted` and `original` are scratch space of at least the same length.

    2^x is a polynomial of the fraction of x, with the whole part of x added to the exponent bits: loops that compile to
    vector instructions.
    """
    bits, exponents = values.view(np.uint32), shifted.view(np.uint32)
    for i in range(len(values)):
        original[i] = values[i]
        power = min(max(values[i] * -LOG2_E, -MAX_EXPONENT), MAX_EXPONENT)
        shifted[i] = power + ROUNDER
        rest = power - (shifted[i] - ROUNDER)
        values[i] = ONE + rest * (C1 + rest * (C2 + rest * (C3 + rest * (C4 + rest * C5))))
    for i in range(len(values)):
        bits[i] += exponents[i] << np.uint32(23)
    for i in range(len(values)):
        values[i] = ONE / (ONE + values[i]) + (original[i] - original[i])


@compiled(fastmath=True)
def _backward_frame(
    gates: np.ndarray,
    cells: np.ndarray,
    tanh_cells: np.ndarray,
    output_grads: np.ndarray,
    hidden_grads: np.ndarray,
    cell_grads: np.ndarray,
    bias_grads: np.ndarray,
    frame: int,
) -> None:
    """One frame of `_backward_frames`: replaces the frame's gates by the gradient of their preactivations and adds it
    to `bias_grads`; `cell_grads` become those of the cells before the frame. `hidden_grads` (bits of bfloat16) are the
    gradient of the outputs that comes through the following frame."""
    directions, _, batch, _ = gates.shape
    width = cells.shape[-1]
    activation_bits, hidden_bits = np.empty(4 * width, np.uint32), np.empty(width, np.uint32)
    activations, hidden_grad = activation_bits.view(np.float32), hidden_bits.view(np.float32)
    grad = np.empty(4 * width, np.float32)
    for direction in range(directions):
        for row in range(batch):
            _widen(gates[direction, frame, row], activation_bits)
            _widen(hidden_grads[direction, row], hidden_bits)
            cell, tanh_cell = cells[frame, direction, row], tanh_cells[frame, direction, row]
            output_grad, cell_grad = output_grads[direction, frame, row], cell_grads[direction, row]
            for i in range(width):
                input_gate, forget_gate = activations[i], activations[width + i]
                candidate, output_gate = activations[2 * width + i], activations[3 * width + i]
                hidden = hidden_grad[i] + output_grad[i]
                next_cell = cell_grad[i] + hidden * output_gate * (ONE - tanh_cell[i] * tanh_cell[i])
                grad[i] = next_cell * candidate * input_gate * (ONE - input_gate)
                grad[width + i] = next_cell * cell[i] * forget_gate * (ONE - forget_gate)
                grad[2 * width + i] = next_cell * input_gate * (ONE - candidate * candidate)
                grad[3 * width + i] = hidden * tanh_cell[i] * output_gate * (ONE - output_gate)
                cell_grad[i] = next_cell * forget_gate
            bias_grad = bias_grads[direction]
            for i in range(4 * width):
                bias_grad[i] += grad[i]
            _narrow(grad.view(np.uint32), gates[direction, frame, row])


@compiled
def _widen(narrow: np.ndarray, wide: np.ndarray) -> None:
    """Bits of bfloat16 -> bits of float32."""
    for i in range(len(narrow)):
        wide[i] = np.uint32(narrow[i]) << 16


@compiled
def _narrow(wide: np.ndarray, narrow: np.ndarray) -> None:
    """Bits of float32 -> bits of bfloat16, rounded to nearest, ties to even."""
    for i in range(len(narrow)):
        narrow[i] = (wide[i] + np.uint32(0x7FFF) + ((wide[i] >> 16) & np.uint32(1))) >> 16
