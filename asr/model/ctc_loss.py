"""The CTC loss (Graves et al. 2006) on a CPU, without a logarithm or an exponential per state and frame.

Alignment probabilities underflow every floating-point type. Here each is a fraction from 1 to 2 and an exponent of two,
so that they can be added and multiplied directly. PyTorch's loss adds logarithms instead; it takes four times as long,
and its gradients are about a hundred times as far from those computed in double precision.
"""

import math

import numpy as np
import torch
from torch import Tensor

from asr.utils.numba_cache import compiled

ZERO_EXPONENT = -(2**29)  # stands for a probability of zero
FORBIDDEN = -(2**28)  # added to an exponent, makes its probability negligible


class CtcLoss(torch.autograd.Function):
    """Log-probabilities `(batch, frames, tokens)` float32, the references' tokens concatenated, and the `(batch,)`
    lengths of both -> the loss in nats, summed. Token 0 is the blank; every reference must fit its frames."""

    @staticmethod
    def forward(context, output: Tensor, tokens: Tensor, lengths: Tensor, token_lengths: Tensor) -> Tensor:
        binary = output.clamp_min(-1e6) / math.log(2)
        exponents = binary.floor()
        fractions = (binary - exponents).exp2().numpy()
        exponents = exponents.int().numpy()
        posteriors, loss = torch.zeros_like(output), 0.0
        references = tokens.split(token_lengths.tolist())
        for row, (frames, reference) in enumerate(zip(lengths.tolist(), references, strict=True)):
            states = np.zeros(2 * len(reference) + 1, np.int64)
            states[1::2] = reference.numpy()
            emissions = fractions[row, :frames], exponents[row, :frames]
            alphas = _forward_variables(*emissions, states)
            betas = _forward_variables(*(emission[::-1] for emission in emissions), states[::-1])
            loss -= math.log(2) * _add_posteriors(*alphas, *betas, *emissions, states, posteriors[row].numpy())
        context.save_for_backward(posteriors)
        return output.new_tensor(loss if output.isfinite().all() else math.nan)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (posteriors,) = context.saved_tensors
        return posteriors * -gradient, None, None, None


@compiled
def _forward_variables(
    fractions: np.ndarray, exponents: np.ndarray, states: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probability of all paths from the start to each state at each frame, that frame's token included, as fractions
    and exponents `(frames, 2 + states)`; the first two states are impossible ones."""
    frames, count = len(fractions), len(states)
    values, powers = np.ones((frames, count + 2), np.float32), np.full((frames, count + 2), ZERO_EXPONENT, np.int32)
    bits = values.view(np.int32)
    skip = np.full(count, FORBIDDEN, np.int32)
    for state in range(3, count, 2):
        if states[state] != states[state - 2]:
            skip[state] = 0
    for state in range(min(2, count)):
        values[0, 2 + state] = fractions[0, states[state]]
        powers[0, 2 + state] = exponents[0, states[state]]
    scales = np.empty((3, count), np.int32)
    stay, advance, skip_blank = scales.view(np.float32)
    for frame in range(1, frames):
        before, power = powers[frame - 1], powers[frame, 2:]
        for state in range(count):
            first, second, third = before[2 + state], before[1 + state], before[state] + skip[state]
            highest = max(first, second, third)
            # The bits of two to the power of each difference.
            scales[0, state] = max(first - highest + 127, 0) << 23
            scales[1, state] = max(second - highest + 127, 0) << 23
            scales[2, state] = max(third - highest + 127, 0) << 23
            power[state] = highest
        before_values, value, bit = values[frame - 1], values[frame, 2:], bits[frame, 2:]
        for state in range(count):
            value[state] = (
                before_values[2 + state] * stay[state]
                + before_values[1 + state] * advance[state]
                + before_values[state] * skip_blank[state]
            ) * fractions[frame, states[state]]
            power[state] += exponents[frame, states[state]]
        for state in range(count):
            power[state] += (bit[state] >> 23) - 127
            bit[state] = (bit[state] & 0x7FFFFF) | 0x3F800000
    return values, powers


@compiled(error_model="numpy")
def _add_posteriors(
    values: np.ndarray,
    powers: np.ndarray,
    back_values: np.ndarray,
    back_powers: np.ndarray,
    fractions: np.ndarray,
    exponents: np.ndarray,
    states: np.ndarray,
    posteriors: np.ndarray,
) -> float:
    """Add the posterior of each token at each frame to `posteriors` `(frames, tokens)`, from the forward variables of
    both directions; returns the base-2 logarithm of the reference's probability."""
    frames, count = len(fractions), len(states)
    highest = max(powers[-1, -1], powers[-1, -2])
    total = values[-1, -1] * 2.0 ** (powers[-1, -1] - highest) + values[-1, -2] * 2.0 ** (powers[-1, -2] - highest)
    share, scale = np.empty(count, np.float32), np.empty(count, np.int32)
    scales, inverse = scale.view(np.float32), np.float32(1 / total)
    for frame in range(frames):
        value, power = values[frame, 2:], powers[frame, 2:]
        back_value, back_power = back_values[-1 - frame, ::-1], back_powers[-1 - frame, ::-1]
        for state in range(count):
            token = states[state]
            distance = power[state] + back_power[state] - exponents[frame, token] - highest
            scale[state] = min(max(distance + 127, 0), 254) << 23
            share[state] = value[state] * back_value[state] * inverse / fractions[frame, token]
        for state in range(count):
            posteriors[frame, states[state]] += share[state] * scales[state]
    return np.log2(total) + highest
