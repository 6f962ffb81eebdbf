"""Sequence training of CTC outputs: the CTC-CRF loss (Xiang & Ou 2019), which is lattice-free MMI with CTC topology.

CTC makes the frames of the reference likelier. This loss makes the reference likelier than all other token sequences,
weighted by a trigram of tokens:

    loss = log sum over all paths of p(path) P(tokens of the path) - log sum over paths of the reference of the same

where p(path) is the product of the frames' probabilities. The denominator is summed exactly, over every pair of last
tokens in each frame.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from asr.utils.numba_cache import compiled

NEGLIGIBLE = 1e-9  # a state with less than this share of a frame's probability is dropped
DISCOUNT = 0.5  # of each count, for the shorter context (absolute discounting, Ney et al. 1994)


def train_trigram(sequences: Iterable[Sequence[int]], tokens: int) -> np.ndarray:
    """P(c | a, b) as `(tokens, tokens, tokens)` float32, by [a, b, c], of the tokens' sequences.

    Index 0 is the boundary: as a context the start, as what follows the end. Interpolated with the bigram, the unigram
    and the uniform distribution, so that nothing is impossible.
    """
    trigrams = np.zeros((tokens,) * 3)
    for sequence in sequences:
        padded = np.array([0, 0, *sequence, 0])
        np.add.at(trigrams, (padded[:-2], padded[1:-1], padded[2:]), 1)
    unigram = _interpolate(trigrams.sum(axis=(0, 1)), np.full(tokens, 1 / tokens))
    bigram = _interpolate(trigrams.sum(axis=0), np.broadcast_to(unigram, (tokens, tokens)))
    return _interpolate(trigrams, np.broadcast_to(bigram, trigrams.shape)).astype(np.float32)


def _interpolate(counts: np.ndarray, shorter: np.ndarray) -> np.ndarray:
    """Discounted counts `(..., tokens)`, the rest of the probability distributed as the shorter context has it."""
    totals = counts.sum(axis=-1, keepdims=True)
    discounted = np.maximum(counts - DISCOUNT, 0)
    rest = totals - discounted.sum(axis=-1, keepdims=True)
    known = np.maximum(totals, 1)
    return np.where(totals > 0, (discounted + rest * shorter) / known, shorter)


def competition(output: Tensor, tokens: Tensor, lengths: Tensor, token_lengths: Tensor, trigram: np.ndarray) -> Tensor:
    """What the CTC-CRF loss adds to `CtcLoss`, in nats, summed; arguments as there, and `train_trigram`'s P(c | a, b):
    the denominator, less the logarithm of the references' own probability."""
    references = 0.0
    for reference in tokens.split(token_lengths.tolist()):
        padded = np.array([0, 0, *reference.tolist(), 0])
        references += float(np.log(trigram[padded[:-2], padded[1:-1], padded[2:]], dtype=np.float64).sum())
    return Denominator.apply(output, lengths, trigram) - references


class Denominator(torch.autograd.Function):
    """Log-probabilities `(batch, frames, tokens)` float32 on a CPU or an NVIDIA GPU, `(batch,)` lengths on the CPU and
    a trigram -> the log-sum over all paths, in nats, summed over the batch. Token 0 is the blank."""

    @staticmethod
    def forward(context, output: Tensor, lengths: Tensor, trigram: np.ndarray) -> Tensor:
        if output.is_cuda:
            from asr.model.ctc_crf_gpu import sum_paths

            there = lengths.to(output.device), torch.from_numpy(trigram).to(output.device)
            totals, posteriors = sum_paths(output.exp(), *there)
            context.save_for_backward(posteriors)
            return totals.sum()
        posteriors, total = torch.zeros_like(output), 0.0
        for row, frames in enumerate(lengths.tolist()):
            emissions = output[row, :frames].detach().exp().numpy()
            total += _sum_paths(emissions, trigram, posteriors[row].numpy())
        context.save_for_backward(posteriors)
        return output.new_tensor(total if output.isfinite().all() else math.nan)

    @staticmethod
    def backward(context, above: Tensor) -> tuple[Tensor, None, None]:
        (posteriors,) = context.saved_tensors
        return posteriors * above, None, None


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _sum_paths(emissions: np.ndarray, trigram: np.ndarray, posteriors: np.ndarray) -> float:
    """The log-sum over all paths of `emissions` `(frames, tokens)`; adds each token's share of them to `posteriors`.

    A state is the last two tokens and whether the frame is blank. States of each frame sum to 1; `scale` has the
    inverses of what they were divided by.
    """
    spoken, silent, scale = _forward(emissions, trigram)
    return _backward(emissions, trigram, spoken, silent, scale, posteriors) - np.log(scale.astype(np.float64)).sum()


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _forward(emissions: np.ndarray, trigram: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of the states after each frame, `(frames + 1, tokens, tokens)` spoken and silent, and `scale`."""
    frames, size = emissions.shape
    spoken = np.zeros((frames + 1, size, size), np.float32)  # [frame, a, b]: the frame has token b, after a
    silent = np.zeros((frames + 1, size, size), np.float32)  # the frame is blank, the last tokens were a, b
    silent[0, 0, 0] = 1.0
    scale = np.ones(frames + 1, np.float32)
    for frame in range(1, frames + 1):
        emission, blank = emissions[frame - 1], emissions[frame - 1, 0]
        spoken_now, silent_now = spoken[frame], silent[frame]
        for b in range(size):
            for a in range(size):
                mass = spoken[frame - 1, a, b] + silent[frame - 1, a, b]
                if mass < NEGLIGIBLE:
                    continue
                silent_now[a, b] = mass * blank
                for c in range(1, size):
                    spoken_now[b, c] += mass * trigram[a, b, c]
                # A token follows itself only behind a blank.
                spoken_now[b, b] -= spoken[frame - 1, a, b] * trigram[a, b, b]
        sum = np.float32(0.0)
        for b in range(size):
            spoken_now[b, 0] = 0.0
            for c in range(size):
                spoken_now[b, c] = (max(spoken_now[b, c], np.float32(0.0)) + spoken[frame - 1, b, c]) * emission[c]
                sum += spoken_now[b, c] + silent_now[b, c]
        scale[frame] = np.float32(1.0) / sum
        for b in range(size):
            for c in range(size):
                spoken_now[b, c] *= scale[frame]
                silent_now[b, c] *= scale[frame]
    return spoken, silent, scale


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _backward(
    emissions: np.ndarray,
    trigram: np.ndarray,
    spoken: np.ndarray,
    silent: np.ndarray,
    scale: np.ndarray,
    posteriors: np.ndarray,
) -> float:
    """Add the posteriors of the tokens; returns the logarithm of the sum at the end of the last frame."""
    frames, size = emissions.shape
    end = 0.0
    for a in range(size):
        for b in range(size):
            end += (spoken[frames, a, b] + silent[frames, a, b]) * trigram[a, b, 0]
    spoken_next, silent_next = np.empty((size, size), np.float32), np.empty((size, size), np.float32)
    backed = np.empty((size, size), np.float32)
    for a in range(size):
        for b in range(size):
            spoken_next[a, b] = silent_next[a, b] = trigram[a, b, 0] / end
    for frame in range(frames, 0, -1):
        # What is behind a state of this frame, times its own share, is its posterior.
        emission, blank = emissions[frame - 1], emissions[frame - 1, 0]
        for b in range(size):
            for c in range(size):
                posteriors[frame - 1, c] += spoken[frame, b, c] * spoken_next[b, c]
                posteriors[frame - 1, 0] += silent[frame, b, c] * silent_next[b, c]
                backed[b, c] = emission[c] * spoken_next[b, c] * scale[frame]
            backed[b, 0] = 0.0
        for a in range(size):
            for b in range(size):
                if spoken[frame - 1, a, b] + silent[frame - 1, a, b] < NEGLIGIBLE:
                    spoken_next[a, b] = silent_next[a, b] = 0.0
                    continue
                follow = np.float32(0.0)
                for c in range(1, size):
                    follow += trigram[a, b, c] * backed[b, c]
                stay = silent_next[a, b] * blank * scale[frame]
                silent_next[a, b] = stay + follow
                spoken_next[a, b] = stay + follow - trigram[a, b, b] * backed[b, b] + backed[a, b]
    return np.log(end)
