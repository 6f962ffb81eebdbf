"""Batches by seconds of audio: nothing lost, limits kept, the same for the same seed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.batching import BatchDataset, Features, load_batches, pad, plan_epoch, plan_in_order
from asr.config import AugmentConfig, FeatureConfig
from asr.errors import AudioError
from asr.features import LogMel
from asr.manifest import Utterance

durations = st.lists(st.floats(0.1, 30), min_size=1, max_size=60)


@given(durations=durations, limit=st.floats(1, 100), seed=st.integers(0, 9), epoch=st.integers(0, 3))
def test_every_utterance_is_in_exactly_one_batch(durations, limit, seed, epoch):
    for plan in (plan_in_order(durations, limit), plan_epoch(durations, limit, seed, epoch)):
        assert sorted(index for batch in plan for index in batch) == list(range(len(durations)))


@given(durations=durations, limit=st.floats(1, 100))
def test_batches_keep_the_limit_padding_included(durations, limit):
    for batch in plan_in_order(durations, limit):
        assert len(batch) == 1 or len(batch) * max(durations[index] for index in batch) <= limit


def test_order_follows_from_seed_and_epoch():
    durations = np.random.default_rng(0).uniform(1, 15, 200).tolist()
    assert plan_epoch(durations, 60, 0, 3) == plan_epoch(durations, 60, 0, 3)
    assert plan_epoch(durations, 60, 0, 3) != plan_epoch(durations, 60, 0, 4)
    assert plan_epoch(durations, 60, 0, 3) != plan_epoch(durations, 60, 1, 3)


def test_padding_is_small_and_the_first_epoch_goes_from_short_to_long():
    durations = np.random.default_rng(0).uniform(1, 15, 500)
    plan = plan_epoch(durations.tolist(), 60, 0, 0)
    padded = sum(len(batch) * durations[batch].max() for batch in plan)
    assert durations.sum() / padded > 0.9
    assert durations[plan[0]].max() < durations[plan[-1]].min()


def test_pad_puts_zeros_behind():
    features, lengths = pad([torch.ones(33, 2), torch.ones(1, 2)], hop_seconds=0.01)
    assert features.shape == (2, 64, 2) and lengths.tolist() == [33, 1]
    assert features[1, 1:].abs().sum() == 0


def utterances(noise_file, count: int) -> list[Utterance]:
    paths = [noise_file(f"{number}.wav", seconds=0.2 + 0.1 * number, seed=number) for number in range(count)]
    return [Utterance(path.stem, path, 0.2 + 0.1 * number, "") for number, path in enumerate(paths)]


def test_worker_processes_give_the_same_batches_and_leave_the_random_state_alone(noise_file):
    """Dropout draws from torch's random state: resuming is exact only if loading batches does not."""
    tokens = [[1, 2], [3], [1], [2, 2]]
    plan = [[0, 2], [3, 1]]
    dataset = BatchDataset(Features(utterances(noise_file, 4), LogMel(FeatureConfig())), tokens, plan, AugmentConfig())
    before = torch.get_rng_state()
    plain, worked = list(load_batches(dataset, 0)), list(load_batches(dataset, 1))
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(plain, worked, strict=True):
        assert torch.equal(a.features, b.features) and a.utterances == b.utterances
    assert plain[0].tokens.tolist() == [1, 2, 1] and plain[0].token_lengths.tolist() == [2, 1]


def test_features_kept_in_memory_are_the_same(noise_file):
    log_mel, sounds = LogMel(FeatureConfig()), utterances(noise_file, 3)
    made, kept = Features(sounds, log_mel), Features(sounds, log_mel, memory_gigabytes=1.0)
    assert made.kept is None and len(kept.kept) == 3
    assert all(torch.equal(made[index], kept[index]) for index in range(3))


def test_masks_change_from_epoch_to_epoch(noise_file):
    features = Features(utterances(noise_file, 1), LogMel(FeatureConfig()))
    first, second = (BatchDataset(features, [[1]], [[0]], AugmentConfig(), 0, epoch)[0] for epoch in (0, 1))
    assert not torch.equal(first.features, second.features)


def test_an_offset_reads_only_that_part(noise_file):
    path = noise_file("long.wav", seconds=2.0)
    part = Utterance("part", path, 0.5, "", offset=1.0)
    batch = BatchDataset(Features([part], LogMel(FeatureConfig())), [[1]], [[0]])[0]
    assert batch.lengths.tolist() == [51]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_recording_is_named_on_one_line(tmp_path, workers):
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound")
    features = Features([Utterance("broken", broken, 1.0, "")], LogMel(FeatureConfig()))
    with pytest.raises(AudioError) as caught:
        list(load_batches(BatchDataset(features, [[1]], [[0]]), workers))
    assert str(caught.value) == f"{broken}: not a sound file that can be read (wav, flac, ogg, opus, mp3, aiff)"
