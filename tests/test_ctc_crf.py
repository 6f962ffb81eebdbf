"""The CTC-CRF loss against sums over every path, written out."""

import itertools
import math

import numpy as np
import pytest
import torch

from asr.data.batching import Batch
from asr.model.acoustic_model import AcousticModel
from asr.model.config import ModelConfig
from asr.model.ctc_crf import Denominator, competition, train_trigram
from asr.model.ctc_loss import CtcLoss
from asr.training.config import TrainingConfig
from asr.training.learner import CtcLearner, Part
from asr.utils.distributed import Group


def collapse(path):
    """The tokens of a path: repetitions once, blanks left out."""
    return tuple(token for token, _ in itertools.groupby(path) if token)


def probability(tokens, trigram):
    padded = [0, 0, *tokens, 0]
    return math.prod(float(trigram[padded[i], padded[i + 1], padded[i + 2]]) for i in range(len(tokens) + 1))


def brute_force(output, trigram):
    """Log-sums over all paths, and over those of each token sequence, in double precision with gradients."""
    frames, size = output.shape
    sums = {}
    for path in itertools.product(range(size), repeat=frames):
        tokens = collapse(path)
        weight = output[range(frames), path].sum() + math.log(probability(tokens, trigram))
        sums.setdefault(tokens, []).append(weight)
    return {tokens: torch.logsumexp(torch.stack(each), 0) for tokens, each in sums.items()}


def ctc_crf_loss(output, tokens, lengths, token_lengths, trigram):
    references = output, tokens, lengths, token_lengths
    return CtcLoss.apply(*references) + competition(*references, trigram)


@pytest.fixture
def trigram():
    random = np.random.default_rng(1)
    return train_trigram([random.integers(1, 4, size=random.integers(1, 9)) for _ in range(40)], 4)


def test_a_trigram_is_a_distribution_that_favours_what_it_was_trained_on(trigram):
    np.testing.assert_allclose(trigram.sum(axis=-1), 1, atol=1e-6)
    assert trigram.min() > 0
    alternating = train_trigram([[1, 2] * 5] * 3, 4)
    assert alternating[2, 1, 2] > 0.9 and alternating[1, 2, 1] > 0.7 > 0.1 > alternating[1, 2, 3]


@pytest.mark.parametrize("sure", [1.0, 6.0])
def test_loss_and_gradient_are_those_of_every_path_summed(trigram, sure):
    torch.manual_seed(3)
    logits, lengths = sure * torch.randn(2, 6, 4), torch.tensor([6, 4])
    references = ((2, 2, 1), (3,))
    ours, exact = logits.clone().requires_grad_(), logits.double().requires_grad_()
    tokens, token_lengths = torch.tensor([2, 2, 1, 3]), torch.tensor([3, 1])
    loss = ctc_crf_loss(ours.log_softmax(-1), tokens, lengths, token_lengths, trigram)
    expected = 0.0
    for row, reference in enumerate(references):
        sums = brute_force(exact.log_softmax(-1)[row, : lengths[row]], trigram)
        expected = expected + torch.logsumexp(torch.stack(list(sums.values())), 0) - sums[reference]
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(ours.grad.double(), exact.grad, rtol=0, atol=2e-5)
    assert not ours.grad[1, 4:].any()


def test_posteriors_of_each_frame_sum_to_one_in_long_utterances():
    random = np.random.default_rng(0)
    trigram = train_trigram([random.integers(1, 40, size=30) for _ in range(50)], 40)
    output = (6 * torch.randn(1, 400, 40)).log_softmax(-1).requires_grad_()
    Denominator.apply(output, torch.tensor([400]), trigram).backward()
    np.testing.assert_allclose(output.grad.sum(-1), 1, atol=1e-3)


def test_the_only_likely_sequence_has_no_loss():
    trigram = train_trigram([[1, 2, 3]] * 100, 4)
    output = torch.full((1, 3, 4), -30.0)
    output[0, [0, 1, 2], [1, 2, 3]] = 0.0
    loss = ctc_crf_loss(output, torch.tensor([1, 2, 3]), torch.tensor([3]), torch.tensor([3]), trigram)
    assert loss.item() == pytest.approx(0, abs=1e-3)


def test_nan_gives_a_nan_loss(trigram):
    output = torch.full((1, 4, 4), math.nan)
    assert math.isnan(Denominator.apply(output, torch.tensor([4]), trigram))


def test_training_with_it_lowers_the_loss():
    torch.manual_seed(0)
    references = [[1, 2, 1], [3, 3]]
    lengths = torch.tensor([40, 30])
    batch = Batch(
        utterances=(0, 1),
        features=torch.randn(2, 40, 8),
        lengths=lengths,
        tokens=torch.tensor([1, 2, 3]),
        token_lengths=torch.tensor([1, 2]),
        phones=torch.tensor([token for reference in references for token in reference]),
        phone_lengths=torch.tensor([3, 2]),
        frames_needed=torch.tensor([3, 3]),
    )
    architecture = ModelConfig(subsampling=2, channels=4, layers=2, width=8, dropout=0.0, phone_layer=1)

    def losses(share: float, steps: int) -> list[float]:
        torch.manual_seed(1)
        config = TrainingConfig(crf_share=share, precision="float32")
        learner = CtcLearner(AcousticModel(architecture, 8, 4, 4), config, Group(), references)
        return [learner.step([Part(batch)], 5, step, 0.02).loss for step in range(steps)]

    with_crf, without = losses(0.9, 30), losses(0.0, 1)
    assert with_crf[0] != pytest.approx(without[0], abs=0.1)
    assert 0 <= with_crf[-1] < 0.5 * with_crf[0]
