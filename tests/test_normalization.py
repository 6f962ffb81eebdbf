"""Normalised features do not depend on silence: zeros, quiet noise, gated pauses; in whole recordings and streams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asr.audio.config import FeatureConfig
from asr.audio.effects import coloured_noise
from asr.audio.features import LogMel
from asr.audio.io import resample
from asr.audio.normalization import normalize_bands

RATE = 16000
HOP = 160
MARGIN = 3  # frames whose window reaches over the border


def noise(seconds: float, decibels: float, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (10 ** (decibels / 20) * samples).astype(np.float32)


def speech() -> np.ndarray:
    """Nine bursts as loud as words, with pauses as quiet as a room between them."""
    words = [noise(0.3, -25, number) for number in range(9)]
    return np.concatenate([*(np.concatenate([noise(0.25, -65, 100), word]) for word in words), noise(0.25, -65, 101)])


def features(samples: np.ndarray, normalization: str = "utterance", average_seconds: float = 0.0) -> np.ndarray:
    return LogMel(FeatureConfig(normalization=normalization, average_seconds=average_seconds))(samples)


SPEECH = speech()
PLAIN = features(SPEECH)


def assert_speech_unchanged(samples: np.ndarray, front_seconds: float, tolerance: float) -> None:
    first = round(front_seconds * RATE / HOP)
    changed = features(samples)[first : first + len(PLAIN)]
    np.testing.assert_allclose(changed[MARGIN:-MARGIN], PLAIN[MARGIN:-MARGIN], atol=tolerance)


@settings(max_examples=20, deadline=None)
@given(front=st.integers(0, 60), behind=st.integers(0, 60))
def test_zeros_around_speech_change_nothing(front, behind):
    samples = np.concatenate([np.zeros(front * RATE, np.float32), SPEECH, np.zeros(behind * RATE, np.float32)])
    assert_speech_unchanged(samples, front, 0.02)


@pytest.mark.parametrize("decibels", [-60, -80, -96])
def test_ten_seconds_of_quiet_noise_change_little(decibels):
    """The same noise moves features by more than 1 where all frames count."""
    assert_speech_unchanged(np.concatenate([noise(10, decibels), SPEECH]), 10, 0.35)
    assert_speech_unchanged(np.concatenate([SPEECH, noise(10, decibels)]), 0, 0.35)


def test_a_noise_gate_changes_the_words_little():
    gated = SPEECH.copy()
    words = np.zeros(len(SPEECH), bool)
    for number in range(9):
        start = round((0.25 + 0.55 * number) * RATE)
        words[start : start + round(0.3 * RATE)] = True
    gated[~words] = 0
    frames = np.zeros(len(PLAIN), bool)
    frames[: len(SPEECH) // HOP] = words[: len(SPEECH) // HOP * HOP : HOP]
    frames &= np.roll(frames, MARGIN) & np.roll(frames, -MARGIN)
    difference = features(gated)[frames] - PLAIN[frames]
    assert np.abs(difference.mean()) < 0.5
    assert features(gated).min() > PLAIN.min() - 1.5, "zeros are no deeper than a quiet room"


def test_loudness_does_not_matter():
    np.testing.assert_allclose(features(0.1 * SPEECH), PLAIN, atol=0.05)


def test_silence_stays_quiet():
    for kind in ("utterance", "running"):
        assert np.abs(features(np.zeros(RATE, np.float32), kind)).max() < 1e-3


def tilted(seconds: float, slope: float) -> np.ndarray:
    """Noise without silence around it, its power falling with frequency as 1 / frequency ** slope, as of one vowel."""
    return (0.05 * coloured_noise(round(seconds * RATE), slope, RATE, np.random.default_rng(0))).astype(np.float32)


@pytest.mark.parametrize("kind", ["utterance", "running"])
def test_with_average_speech_a_short_sound_keeps_its_spectrum(kind):
    """By its own statistics alone, all short steady sounds have the same features."""
    low, high = (features(tilted(0.3, slope), kind, 1.0)[10:-10].mean(axis=0) for slope in (2.0, 0.0))
    assert low[:10].mean() > high[:10].mean() + 0.5 and low[-10:].mean() < high[-10:].mean() - 0.5
    own = [features(tilted(0.3, slope), kind)[10:-10].mean(axis=0) for slope in (2.0, 0.0)]
    assert np.abs(own[0][:10].mean() - own[1][:10].mean()) < 0.3


def test_average_speech_matters_less_the_longer_a_recording_is():
    change = [np.abs(features(tilted(n, 2.0), average_seconds=1.0) - features(tilted(n, 2.0))).mean() for n in (1, 30)]
    assert change[1] < change[0] / 4


def test_average_speech_is_as_loud_as_the_recording():
    quiet, loud = (features(gain * SPEECH, average_seconds=1.0) for gain in (0.1, 1.0))
    np.testing.assert_allclose(quiet, loud, atol=0.05)


def test_an_abrupt_beginning_does_not_sound_like_a_consonant():
    """A cut of a vowel in mid-swing is a click, louder in the high bands than all that follows."""
    word = 0.3 * np.cos(2 * np.pi * 200 * np.arange(0.3 * RATE) / RATE)
    word += 0.001 * np.random.default_rng(0).standard_normal(len(word))
    high = features(word.astype(np.float32), average_seconds=1.0)[:, 50:].mean(axis=1)
    assert abs(high[0] - high[10:20].mean()) < 1


def test_bands_without_sound_are_not_compared_with_average_speech():
    narrow = resample(resample(SPEECH, RATE, 8000), 8000, RATE)
    assert np.abs(features(narrow, average_seconds=1.0)[:, -10:].mean(axis=0)).max() < 0.3


def test_steady_noise_has_zero_mean_and_unit_variance():
    normalized = features(noise(2, -20))
    assert np.abs(normalized.mean(axis=0)).max() < 1e-3
    assert (np.abs(normalized.std(axis=0) - 1) < 0.2).all()


def test_running_normalisation_never_looks_ahead():
    energies = LogMel(FeatureConfig(normalization="none"))(SPEECH)
    whole = normalize_bands(energies, "running", 0.01)
    for frames in (1, 2, 40, 300):
        np.testing.assert_allclose(normalize_bands(energies[:frames], "running", 0.01), whole[:frames], atol=1e-5)
    np.testing.assert_allclose(whole[-1], PLAIN[-1], atol=0.05)


def test_a_minute_of_zeros_does_not_stay_in_the_running_statistics():
    changed = features(np.concatenate([np.zeros(60 * RATE, np.float32), SPEECH]), "running")[6000:]
    plain = features(SPEECH, "running")
    np.testing.assert_allclose(changed[60:-MARGIN], plain[60:-MARGIN], atol=0.05)


@settings(max_examples=50, deadline=None)
@given(
    energies=arrays(
        np.float32, st.tuples(st.integers(1, 40), st.integers(1, 8)), elements=st.floats(-23, 15, width=32)
    ),
    kind=st.sampled_from(["utterance", "running", "none"]),
)
def test_every_input_has_finite_features(energies, kind):
    normalized = normalize_bands(energies, kind, 0.01)
    assert normalized.shape == energies.shape and normalized.dtype == np.float32
    assert np.isfinite(normalized).all()
