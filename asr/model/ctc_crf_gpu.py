"""The denominator of `asr.model.ctc_crf` on an NVIDIA GPU: one Triton program per utterance.

A program keeps the states of a frame in registers and exchanges their rows through memory, between barriers. Each
frame multiplies them by all of the trigram, about the work that the frame's share of the recurrent layers takes.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

WARPS = 8  # of a program: 16 states of 64 by 64 per thread


def sum_paths(emissions: Tensor, lengths: Tensor, trigram: Tensor) -> tuple[Tensor, Tensor]:
    """As `ctc_crf.Denominator` does for a batch: probabilities `(batch, frames, tokens)`, `(batch,)` lengths and
    P(c | a, b) `(tokens, tokens, tokens)`, all float32 or integer on one GPU -> log-sums over all paths `(batch,)` and
    each token's share of them `(batch, frames, tokens)`, zero past the lengths."""
    batch, frames, size = emissions.shape
    emissions, trigram = emissions.contiguous(), trigram.contiguous()
    states = emissions.new_empty(2, batch, frames + 1, size, size)
    scale = emissions.new_ones(batch, frames + 1)
    follow = emissions.new_empty(batch, size, size)
    posteriors, ends = torch.zeros_like(emissions), emissions.new_empty(batch)
    shape = frames, size, triton.next_power_of_2(size)
    _forward[batch,](emissions, trigram, lengths, *states, scale, *shape, num_warps=WARPS)
    arguments = emissions, trigram, lengths, *states, scale, follow, posteriors, ends
    _backward[batch,](*arguments, *shape, num_warps=WARPS)
    return ends - scale.double().log().sum(dim=1).float(), posteriors


@triton.jit
def _forward(emissions, trigram, lengths, spoken, silent, scale, frames, size: tl.constexpr, padded: tl.constexpr):
    """Probabilities of the states after each frame, and `scale`, as `ctc_crf._forward`."""
    row = tl.program_id(0).to(tl.int64)
    emissions += row * frames * size
    spoken += row * (frames + 1) * size * size
    silent += row * (frames + 1) * size * size
    scale += row * (frames + 1)
    number = tl.arange(0, padded)
    known = number < size
    b, c = number[:, None], number[None, :]
    inside = (b < size) & (c < size)
    place = b * size + c
    spoken_now = tl.zeros((padded, padded), tl.float32)
    silent_now = tl.where(place + b + c == 0, 1.0, 0.0)
    tl.store(spoken + place, spoken_now, mask=inside)
    tl.store(silent + place, silent_now, mask=inside)
    for frame in range(tl.load(lengths + row)):
        tl.debug_barrier()
        arrived = tl.zeros((padded, padded), tl.float32)
        for a in range(size):
            after_spoken = tl.load(spoken + a * size + number, mask=known, other=0.0)[:, None]
            after_silent = tl.load(silent + a * size + number, mask=known, other=0.0)[:, None]
            # A token follows itself only behind a blank.
            mass = tl.where(b == c, after_silent, after_spoken + after_silent)
            arrived += mass * tl.load(trigram + a * size * size + place, mask=inside, other=0.0)
        emission = tl.load(emissions + frame * size + number, mask=known, other=0.0)[None, :]
        blank = tl.load(emissions + frame * size)
        silent_now = (spoken_now + silent_now) * blank
        spoken_now = tl.where(c == 0, 0.0, (arrived + spoken_now) * emission)
        factor = 1.0 / tl.sum(tl.sum(spoken_now + silent_now, axis=1), axis=0)
        spoken_now *= factor
        silent_now *= factor
        spoken += size * size
        silent += size * size
        tl.store(spoken + place, spoken_now, mask=inside)
        tl.store(silent + place, silent_now, mask=inside)
        tl.store(scale + frame + 1, factor)


@triton.jit
def _backward(
    emissions,
    trigram,
    lengths,
    spoken,
    silent,
    scale,
    follow,
    posteriors,
    ends,
    frames,
    size: tl.constexpr,
    padded: tl.constexpr,
):
    """The posteriors of the tokens, and the logarithms of the sums at the end, as `ctc_crf._backward`."""
    row = tl.program_id(0).to(tl.int64)
    emissions += row * frames * size
    posteriors += row * frames * size
    spoken += row * (frames + 1) * size * size
    silent += row * (frames + 1) * size * size
    scale += row * (frames + 1)
    follow += row * size * size
    number = tl.arange(0, padded)
    known = number < size
    b, c = number[:, None], number[None, :]
    inside = (b < size) & (c < size)
    place = b * size + c
    length = tl.load(lengths + row)
    repeated = tl.load(trigram + place * size + c, mask=inside, other=0.0)  # [a, b]: P(b | a, b)
    spoken_next = tl.load(trigram + place * size, mask=inside, other=0.0)
    last = length * size * size + place
    mass = tl.load(spoken + last, mask=inside, other=0.0) + tl.load(silent + last, mask=inside, other=0.0)
    end = tl.sum(tl.sum(mass * spoken_next, axis=1), axis=0)
    tl.store(ends + row, tl.log(end))
    spoken_next = spoken_next / end
    silent_next = spoken_next
    for back in range(length):
        frame = length - 1 - back
        now = (frame + 1) * size * size + place
        spoken_now = tl.load(spoken + now, mask=inside, other=0.0)
        silent_now = tl.load(silent + now, mask=inside, other=0.0)
        blanks = tl.sum(tl.sum(silent_now * silent_next, axis=1), axis=0)
        shares = tl.where(number == 0, blanks, tl.sum(spoken_now * spoken_next, axis=0))
        tl.store(posteriors + frame * size + number, shares, mask=known)
        factor = tl.load(scale + frame + 1)
        emission = tl.load(emissions + frame * size + number, mask=known, other=0.0)[None, :]
        blank = tl.load(emissions + frame * size)
        backed = tl.where(c == 0, 0.0, emission * spoken_next * factor)
        for a in range(size):
            onward = tl.load(trigram + a * size * size + place, mask=inside, other=0.0)
            tl.store(follow + a * size + number, tl.sum(onward * backed, axis=1), mask=known)
        tl.debug_barrier()
        stay = silent_next * blank * factor + tl.load(follow + place, mask=inside, other=0.0)
        tl.debug_barrier()
        again = tl.sum(tl.where(b == c, backed, 0.0), axis=0)[None, :]
        silent_next = stay
        spoken_next = stay - repeated * again + backed
