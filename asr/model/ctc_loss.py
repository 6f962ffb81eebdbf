"""The CTC loss (Graves et al. 2006) on a CPU, without a logarithm or an exponential for each state of each frame.

Probabilities of alignments are too small for any type of number. Kept as a fraction from 1 to 2 and an exponent of two,
they are added and multiplied as they are. PyTorch's loss, which adds logarithms, takes four times as long, and its
gradients are some hundred times as far from those in double precision.
"""

import math

import numpy as np
import torch
from torch import Tensor

from asr.utils.numba_cache import compiled

NOTHING = -(2**29)  # the exponent of what counts as zero
FORBIDDEN = -(2**28)  # added to an exponent, makes next to nothing of it


class CtcLoss(torch.autograd.Function):
    """Log-probabilities `(batch, frames, tokens)` float32, all references' tokens end to end, and the `(batch,)`
    lengths of both -> the loss in nats, summed. Token 0 is the blank; every reference must fit into its frames."""

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
            forwards = _walk(*emissions, states)
            backwards = _walk(*(emission[::-1] for emission in emissions), states[::-1])
            loss -= math.log(2) * _share_out(*forwards, *backwards, *emissions, states, posteriors[row].numpy())
        context.save_for_backward(posteriors)
        return output.new_tensor(loss if output.isfinite().all() else math.nan)

    @staticmethod
    def backward(context, above: Tensor) -> tuple[Tensor, None, None, None]:
        (posteriors,) = context.saved_tensors
        return posteriors * -above, None, None, None


@compiled
def _walk(fractions: np.ndarray, exponents: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probability of all ways from the start to each state at each frame, that frame's token included:
    `(frames, 2 + states)`, two impossible states first."""
    frames, count = len(fractions), len(states)
    values, powers = np.ones((frames, count + 2), np.float32), np.full((frames, count + 2), NOTHING, np.int32)
    bits = values.view(np.int32)
    skip = np.full(count, FORBIDDEN, np.int32)
    for state in range(3, count, 2):
        if states[state] != states[state - 2]:
            skip[state] = 0
    for state in range(min(2, count)):
        values[0, 2 + state] = fractions[0, states[state]]
        powers[0, 2 + state] = exponents[0, states[state]]
    scales = np.empty((3, count), np.int32)
    stay, follow, leap = scales.view(np.float32)
    for frame in range(1, frames):
        before, power = powers[frame - 1], powers[frame, 2:]
        for state in range(count):
            first, second, third = before[2 + state], before[1 + state], before[state] + skip[state]
            highest = max(first, second, third)
            # The bits of two to the power of each distance.
            scales[0, state] = max(first - highest + 127, 0) << 23
            scales[1, state] = max(second - highest + 127, 0) << 23
            scales[2, state] = max(third - highest + 127, 0) << 23
            power[state] = highest
        before_values, value, bit = values[frame - 1], values[frame, 2:], bits[frame, 2:]
        for state in range(count):
            value[state] = (
                before_values[2 + state] * stay[state]
                + before_values[1 + state] * follow[state]
                + before_values[state] * leap[state]
            ) * fractions[frame, states[state]]
            power[state] += exponents[frame, states[state]]
        for state in range(count):
            power[state] += (bit[state] >> 23) - 127
            bit[state] = (bit[state] & 0x7FFFFF) | 0x3F800000
    return values, powers


@compiled(error_model="numpy")
def _share_out(
    values: np.ndarray,
    powers: np.ndarray,
    back_values: np.ndarray,
    back_powers: np.ndarray,
    fractions: np.ndarray,
    exponents: np.ndarray,
    states: np.ndarray,
    posteriors: np.ndarray,
) -> float:
    """Adds to `posteriors` `(frames, tokens)` the share of the alignments that has each token at each frame, from what
    `_walk` says of both directions; returns the logarithm to base two of the probability of all alignments."""
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
