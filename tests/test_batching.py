"""Batches by seconds of audio: nothing lost, limits kept, the same for the same seed."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.audio.config import AugmentConfig, FeatureConfig
from asr.data.batching import BatchMaker, Job, load_batches, plan_epoch
from asr.data.feature_cache import CorpusFeatures
from asr.data.manifest import Utterance
from asr.errors import AudioError
from asr.model.padding import pad, plan_in_order

durations = st.lists(st.floats(0.1, 30), min_size=1, max_size=60)


@given(durations=durations, limit=st.floats(1, 100), seed=st.integers(0, 9), epoch=st.integers(0, 3))
def test_every_utterance_is_in_exactly_one_batch(durations, limit, seed, epoch):
    for plan in (plan_in_order(durations, limit), plan_epoch(durations, limit, seed, epoch)):
        assert sorted(index for batch in plan for index in batch) == list(range(len(durations)))


@given(durations=durations, limit=st.floats(1, 100))
def test_batches_keep_the_limit_including_padding(durations, limit):
    for batch in plan_in_order(durations, limit):
        assert len(batch) == 1 or len(batch) * max(durations[index] for index in batch) <= limit


@given(durations=durations, limit=st.floats(1, 100))
def test_batches_are_as_full_as_the_limit_allows(durations, limit):
    for batch, following in itertools.pairwise(plan_in_order(durations, limit)):
        assert not fits([*batch, following[0]], durations, limit)


def fits(batch: list[int], durations: list[float], limit: float) -> bool:
    """Whether a batch is one of `plan_in_order`'s alone."""
    return len(plan_in_order([durations[index] for index in batch], limit)) == 1


def test_a_plan_is_a_sequence_of_batches():
    plan = plan_in_order([1.0, 3.0, 2.0, 1.5], 4.5)
    assert list(plan) == [[1], [2, 3], [0]] and plan[-1] == [0]
    assert list(plan[1:]) == list(plan)[1:] and plan[::2] == plan.reordered([0, 2])


def test_order_follows_from_seed_and_epoch():
    durations = np.random.default_rng(0).uniform(1, 15, 200).tolist()
    assert plan_epoch(durations, 60, 0, 3) == plan_epoch(durations, 60, 0, 3)
    assert plan_epoch(durations, 60, 0, 3) != plan_epoch(durations, 60, 0, 4)
    assert plan_epoch(durations, 60, 0, 3) != plan_epoch(durations, 60, 1, 3)


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize(("shortest", "longest", "limit"), [(1, 15, 120), (10, 16, 224), (0.6, 4, 20)])
def test_padding_is_below_5_percent_of_frames(shortest, longest, limit, epoch):
    durations = np.random.default_rng(0).uniform(shortest, longest, 1500)
    plan = plan_epoch(durations.tolist(), limit, 0, epoch)
    frames = [pad([np.zeros((round(100 * durations[i]), 1)) for i in batch], 0.01)[0].shape[:2] for batch in plan]
    padded = sum(rows * length for rows, length in frames)
    assert 1 - 100 * durations.sum() / padded < 0.05


def test_the_first_epoch_begins_with_the_largest_batch_and_then_goes_from_short_to_long():
    durations = np.random.default_rng(0).uniform(1, 15, 500)
    first, *others = plan_epoch(durations.tolist(), 60, 0, 0)
    assert len(first) * durations[first].max() >= 0.95 * max(len(b) * durations[b].max() for b in others)
    longest = [durations[batch].max() for batch in others]
    assert longest[0] < 2 and all(now < 1.05 * later for now, later in itertools.pairwise(longest))


def test_the_first_epoch_of_a_warm_start_is_in_random_order():
    durations = np.random.default_rng(0).uniform(1, 15, 500)
    batches = plan_epoch(durations.tolist(), 60, 0, 0, short_first=False)
    assert sorted(batches) == sorted(plan_epoch(durations.tolist(), 60, 0, 0))
    longest = [durations[batch].max() for batch in batches[1:]]
    assert 0.3 < np.mean(np.diff(longest) > 0) < 0.7


def test_pad_appends_zeros():
    features, lengths = pad([np.ones((33, 2)), np.ones((1, 2))], hop_seconds=0.01)
    assert features.shape == (2, 40, 2) and lengths.tolist() == [33, 1]
    assert np.abs(features[1, 1:]).sum() == 0


def utterances(noise_file, count: int) -> list[Utterance]:
    paths = [noise_file(f"{number}.wav", seconds=0.2 + 0.1 * number, seed=number) for number in range(count)]
    return [Utterance(path.stem, path, 0.2 + 0.1 * number, "") for number, path in enumerate(paths)]


def job(corpus: list[Utterance], tokens: list[list[int]], positions: list[int]) -> Job:
    rows = ([values[index] for index in positions] for values in (corpus, tokens))
    return Job(positions, *rows, phones=[[]] * len(positions))


def test_worker_processes_give_the_same_batches(noise_file):
    corpus, tokens = utterances(noise_file, 4), [[1, 2], [3], [1], [2, 2]]
    jobs = [job(corpus, tokens, positions) for positions in ([0, 2], [3, 1])]
    maker = BatchMaker(CorpusFeatures(corpus, FeatureConfig()), AugmentConfig())
    plain, worked = list(load_batches(maker, jobs, 0)), list(load_batches(maker, jobs, 1))
    for a, b in zip(plain, worked, strict=True):
        assert torch.equal(a.features, b.features) and a.utterances == b.utterances
    assert plain[0].tokens.tolist() == [1, 2, 1] and plain[0].token_lengths.tolist() == [2, 1]


def test_masks_change_from_epoch_to_epoch(noise_file):
    corpus = utterances(noise_file, 1)
    features, batch = CorpusFeatures(corpus, FeatureConfig()), job(corpus, [[1]], [0])
    first, second = (BatchMaker(features, AugmentConfig(), 0, epoch)[batch] for epoch in (0, 1))
    assert not torch.equal(first.features, second.features)


def test_an_offset_reads_only_that_part(noise_file):
    path = noise_file("long.wav", seconds=2.0)
    part = Utterance("part", path, 0.5, "", offset=1.0)
    batch = BatchMaker(CorpusFeatures([part], FeatureConfig()))[job([part], [[1]], [0])]
    assert batch.lengths.tolist() == [51]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_recording_is_named_on_one_line(tmp_path, workers):
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound")
    corpus = [Utterance("broken", broken, 1.0, "")]
    maker = BatchMaker(CorpusFeatures(corpus, FeatureConfig()))
    with pytest.raises(AudioError) as caught:
        list(load_batches(maker, [job(corpus, [[1]], [0])], workers))
    assert str(caught.value) == f"{broken}: not a sound file that can be read (wav, flac, ogg, opus, mp3, aiff)"
