"""Gradient norm and loss at a learning rate that is too high, with and without gradient clipping.

With plain gradient descent, as in Pascanu et al. 2013: AdamW, which trains everything else here, divides gradients by
their usual size and so hides explosions from the weights.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss
from torch.nn.utils import clip_grad_norm_

from asr.config import Recipe


@dataclass(frozen=True)
class Excursion:
    """Training at a learning rate that is too high, step by step, until the loss is NaN or infinite."""

    loss: list[float]  # nats per token
    norm: list[float]  # of the gradient, before clipping
    broken: bool  # whether the loss became NaN or infinite


def learn_too_fast(recipe: Recipe, rate: float, steps: int, clipped: bool) -> Excursion:
    """Gradient descent from the recipe's initial weights on its training data, always in the same order."""
    from asr.data.dataset import load_corpora
    from asr.model.acoustic_model import AcousticModel

    corpus, _, tokenizer = load_corpora(recipe)
    torch.manual_seed(recipe.training.seed)
    model = AcousticModel(recipe.model, recipe.features.mels, len(tokenizer.pieces))
    optimizer = torch.optim.SGD(model.parameters(), rate)
    losses, norms = [], []
    for features, lengths, tokens in batches(recipe, corpus, steps):
        output, frames = model(features, lengths)
        sizes = torch.tensor([len(row) for row in tokens])
        references = torch.tensor([token for row in tokens for token in row])
        loss = ctc_loss(output.transpose(0, 1), references, frames, sizes, reduction="sum") / sizes.sum()
        optimizer.zero_grad()
        loss.backward()
        limit = recipe.training.clip_norm if clipped else math.inf
        norm = clip_grad_norm_(model.parameters(), limit)
        if not (loss.isfinite() and norm.isfinite()):
            return Excursion(losses, norms, True)
        losses.append(loss.item())
        norms.append(norm.item())
        optimizer.step()
    return Excursion(losses, norms, False)


def batches(recipe: Recipe, corpus, steps: int) -> Iterator[tuple[Tensor, Tensor, list[list[int]]]]:
    """A number of batches: features `(batch, frames, mels)`, their lengths and the tokens of each utterance."""
    from asr.audio.features import LogMel
    from asr.data.batching import plan_epoch
    from asr.data.manifest import load_utterance
    from asr.model.padding import pad

    log_mel = LogMel(recipe.features)
    sounds = (load_utterance(utterance, recipe.features.sample_rate) for utterance in corpus.utterances)
    features = [log_mel(sound.samples) for sound in sounds]
    epoch = 1  # epoch 0 is sorted by length
    while True:
        for indices in plan_epoch(corpus.durations, recipe.training.batch_seconds, recipe.training.seed, epoch):
            if not steps:
                return
            steps -= 1
            padded, lengths = pad([features[index] for index in indices], recipe.features.hop_seconds)
            yield torch.from_numpy(padded), torch.from_numpy(lengths), [corpus.tokens[index] for index in indices]
        epoch += 1
