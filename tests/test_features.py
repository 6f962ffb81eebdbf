"""Log-mel against librosa, and SpecAugment."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from other_threads import seconds_in_other_threads

from asr.audio.config import AugmentConfig, FeatureConfig
from asr.audio.features import LOG_FLOOR, LogMel
from asr.audio.spec_augment import augment_features, stretch_frequency
from asr.audio.torch_features import TorchLogMel
from asr.data.manifest import load_utterance, read_manifest

CONFIGS = [FeatureConfig(), FeatureConfig(sample_rate=8000, mels=40, hop_seconds=0.0125)]
SPEECH = Path(__file__).parent.parent / "../shared/speech"


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("kind", [LogMel, TorchLogMel])
def test_agrees_with_librosa(config, kind):
    """The stated tolerance: 0.001 in natural-log energy, that is 0.004 dB."""
    import librosa

    samples = noise(3 * config.sample_rate)
    window = round(config.window_seconds * config.sample_rate)
    energies = librosa.feature.melspectrogram(
        y=samples,
        sr=config.sample_rate,
        n_fft=2 ** (window - 1).bit_length(),
        win_length=window,
        hop_length=round(config.hop_seconds * config.sample_rate),
        fmin=config.lowest_hertz,
        n_mels=config.mels,
        htk=True,
        norm=None,
        pad_mode="constant",
    )
    expected = np.log(np.maximum(energies, LOG_FLOOR)).T
    np.testing.assert_allclose(kind(config).log_energies(samples), expected, atol=1e-3)


def test_features_are_computed_in_the_calling_thread():
    """Threads of a linear algebra library spin for a while after each product, on cores that others need."""
    extract, samples = LogMel(FeatureConfig()), noise(160000)
    assert seconds_in_other_threads(lambda: extract(samples)) < 0.02


def assert_same_features(config, samples):
    """The stated tolerance of training's features against recognition's, in deviations: 1e-4, but for a value in a
    thousand, where float32 spectra differ 70 dB below the loudest sound."""
    differences = np.abs(LogMel(config)(samples) - TorchLogMel(config)(samples))
    assert np.mean(differences > 1e-4) <= 1e-3 and differences.max() < 1e-3


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("samples", [0, 1, 399, 16000])
def test_training_has_the_features_of_recognition(config, samples):
    assert_same_features(config, noise(samples))


@pytest.mark.skipif(not SPEECH.is_dir(), reason=f"no recordings in {SPEECH}")
def test_training_has_the_features_of_recognition_on_speech():
    for name in ("librispeech-dev", "librispeech-dev-clean", "commonvoice-dev"):
        for utterance in read_manifest(SPEECH / f"{name}.jsonl")[::50]:
            assert_same_features(FeatureConfig(), load_utterance(utterance, 16000).samples)


@settings(max_examples=30, deadline=None)
@given(samples=st.integers(0, 5000))
def test_every_length_has_the_promised_frames(samples):
    log_mel = LogMel(FeatureConfig())
    features = log_mel(noise(samples))
    assert features.shape == (1 + samples // log_mel.hop, 80)
    assert np.isfinite(features).all()


def test_masks_stay_within_their_limits_and_follow_from_the_seed():
    config = AugmentConfig(
        frequency_stretch=0,
        time_masks=1,
        time_mask_seconds=0.2,
        time_mask_share=0.5,
        frequency_masks=1,
        frequency_mask_mels=7,
    )
    features = np.ones((100, 80), np.float32)
    widest_time = widest_band = 0
    for seed in range(200):
        masked = augment_features(features, config, 0.01, np.random.default_rng(seed))
        again = augment_features(features, config, 0.01, np.random.default_rng(seed))
        assert np.array_equal(masked, again)
        widest_time = max(widest_time, int((masked == 0).all(axis=1).sum()))
        widest_band = max(widest_band, int((masked == 0).all(axis=0).sum()))
    assert (widest_time, widest_band) == (20, 7)
    assert features.min() == 1, "the features given must not change"


def test_a_short_utterance_loses_at_most_its_share():
    config = AugmentConfig(
        frequency_stretch=0, time_masks=1, time_mask_seconds=1.0, time_mask_share=0.1, frequency_masks=0
    )
    masked = [augment_features(np.ones((50, 4)), config, 0.01, np.random.default_rng(seed)) for seed in range(50)]
    assert max(int((m == 0).all(axis=1).sum()) for m in masked) == 5


def test_stretching_moves_a_band_and_keeps_its_height():
    features = np.zeros((3, 80), np.float32)
    features[:, 40] = 1.0
    for stretch, band in ((1.1, 44), (0.9, 36), (1.0, 40)):
        stretched = stretch_frequency(features, stretch)
        assert stretched[0].argmax() == band
        assert 0.5 < stretched[0].max() <= 1
    np.testing.assert_allclose(stretch_frequency(np.full((2, 80), 3.0), 1.07), 3.0)
