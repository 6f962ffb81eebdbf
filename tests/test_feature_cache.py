"""asr.data.feature_cache: the same features whether cached or not, computed again after any change of their input."""

import dataclasses
import os
import pickle

import numpy as np
import pytest

from asr.audio.config import AugmentConfig, FeatureConfig
from asr.data.feature_cache import CorpusFeatures
from asr.data.manifest import Utterance
from asr.errors import AudioError

LOUD = AugmentConfig(copies=2, speeds=(0.9, 1.1), noise_share=0.5)


@pytest.fixture
def utterances(noise_file) -> list[Utterance]:
    paths = [noise_file(f"{number}.wav", seconds=0.3 + 0.2 * number, seed=number) for number in range(4)]
    return [Utterance(path.stem, path, 0.3 + 0.2 * number, "") for number, path in enumerate(paths)]


def all_of(features: CorpusFeatures, utterances: list[Utterance]) -> list[np.ndarray]:
    versions = range(features.versions)
    return [features.of(utterance, version, n) for version in versions for n, utterance in enumerate(utterances)]


@pytest.mark.parametrize("augment", [None, LOUD], ids=["plain", "augmented"])
def test_cached_features_are_bit_identical(utterances, tmp_path, augment):
    made, kept = (CorpusFeatures(utterances, FeatureConfig(), augment, seed=3) for _ in range(2))
    told = []
    kept.cache(tmp_path / "cache", 1.0, told.append)
    assert kept.is_cached and not made.is_cached and "computing features: 0.00 GB in" in told[0]
    sent = pickle.loads(pickle.dumps(kept))  # as to a worker process
    for a, b, c in zip(*(all_of(each, utterances) for each in (made, kept, sent)), strict=True):
        assert np.array_equal(a, b) and np.array_equal(a, c) and a.dtype == np.float32


@pytest.mark.slow
def test_processes_compute_what_threads_do(utterances, tmp_path, monkeypatch):
    features = [CorpusFeatures(utterances, FeatureConfig(), LOUD, seed=3) for _ in range(2)]
    features[0].cache(tmp_path / "threads", 1.0, print)
    monkeypatch.setattr("asr.data.feature_cache.MANY_CORES", 1)
    monkeypatch.setattr("asr.data.feature_cache.MANY_GIGABYTES", 0.0)
    features[1].cache(tmp_path / "processes", 1.0, print)
    threads, processes = (next((tmp_path / name).iterdir()).read_bytes() for name in ("threads", "processes"))
    assert threads == processes
    (utterances[2].audio_filepath).write_bytes(b"no sound")
    with pytest.raises(AudioError, match=r"2\.wav"):
        CorpusFeatures(utterances, FeatureConfig()).cache(tmp_path / "again", 1.0, print)


def test_features_are_computed_once_and_again_only_after_a_change(utterances, tmp_path):
    def files(config: FeatureConfig, augment: AugmentConfig | None, seed: int) -> int:
        CorpusFeatures(utterances, config, augment, seed).cache(tmp_path, 1.0, print)
        return len(list(tmp_path.glob("*.features")))

    plain = FeatureConfig()
    assert files(plain, None, 0) == 1
    before = next(tmp_path.glob("*.features")).stat().st_mtime_ns
    assert files(plain, None, 0) == files(plain, None, 1) == 1, "without augmentation the seed has no effect"
    assert next(tmp_path.glob("*.features")).stat().st_mtime_ns == before
    assert files(dataclasses.replace(plain, mels=40), None, 0) == 2
    assert files(plain, LOUD, 0) == 3
    assert files(plain, LOUD, 1) == 4
    os.utime(utterances[0].audio_filepath, (1, 1))  # as if recorded again
    assert files(plain, None, 0) == 5


def test_masks_do_not_change_the_cache(utterances, tmp_path):
    for masks in (0, 3):
        CorpusFeatures(utterances, FeatureConfig(), AugmentConfig(time_masks=masks)).cache(tmp_path, 1.0, print)
    assert len(list(tmp_path.glob("*.features"))) == 1


def test_too_large_features_are_not_cached_and_that_is_reported(utterances, tmp_path):
    features = CorpusFeatures(utterances, FeatureConfig())
    told = []
    features.cache(tmp_path / "cache", 1e-9, told.append)
    assert "recomputed in every epoch" in told[0]
    assert not features.is_cached and not (tmp_path / "cache").exists()
    assert features(0, 0).shape == (31, 80)


def test_versions_differ_and_epochs_cycle_through_them(utterances):
    features = CorpusFeatures(utterances, FeatureConfig(), LOUD)
    assert features.versions == 2 and not np.array_equal(features.durations(0), features.durations(1))
    assert np.array_equal(features(0, 1), features(2, 1))
    assert np.array_equal(features.durations(1), features.durations(3))
    for index in range(4):
        assert len(features(1, index)) == pytest.approx(100 * features.durations(1)[index], abs=2)


def test_a_damaged_recording_is_named_and_nothing_is_left(utterances, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound")
    features = CorpusFeatures([*utterances, Utterance("broken", broken, 1.0, "")], FeatureConfig())
    with pytest.raises(AudioError, match=r"broken\.wav: not a sound file"):
        features.cache(tmp_path / "cache", 1.0, print)
    assert list((tmp_path / "cache").iterdir()) == []


def test_other_noise_recordings_make_other_features(utterances, noise_file, tmp_path):
    noise = noise_file("noises/hum.wav", seconds=2.0, seed=9)
    loud = AugmentConfig(noise_share=1.0, noise=noise.parent)
    for seed in (9, 10):
        noise_file("noises/hum.wav", seconds=2.0 + seed / 10, seed=seed)
        CorpusFeatures(utterances, FeatureConfig(), loud).cache(tmp_path / "cache", 1.0, print)
    assert len(list((tmp_path / "cache").glob("*.features"))) == 2
