"""Audio -> Transcript through a model file."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asr
from asr.errors import AudioError, ConfigError


@pytest.fixture(scope="module")
def recognizer(model_path):
    return asr.Recognizer.load(model_path, voice_activity=False)


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(16000 * seconds))).astype(np.float32)


def test_words_are_the_text_and_lie_within_the_recording(recognizer):
    transcript = recognizer.transcribe(sound(2.0))
    assert transcript.text, "the random model must write something for this test to mean anything"
    assert " ".join(word.text for word in transcript.words) == transcript.text
    times = [time for word in transcript.words for time in (word.start, word.end)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= transcript.duration == 2.0
    assert all(0 <= word.confidence <= 1 for word in transcript.words)


def test_alone_or_in_a_batch_gives_the_same_words(recognizer):
    sounds = [sound(seconds, seed) for seed, seconds in enumerate((0.3, 2.0, 0.05, 1.1))]
    together = recognizer.recognize(sounds)
    for transcript, samples in zip(together, sounds, strict=True):
        alone = recognizer.transcribe(samples)
        assert [(w.text, w.start, w.end) for w in transcript.words] == [(w.text, w.start, w.end) for w in alone.words]


def test_int8_is_near_float32(model_path):
    rounded, exact = (
        asr.Recognizer.load(model_path, "cpu", precision=precision).emissions([sound(2.0)])[0]
        for precision in ("int8", "float32")
    )
    assert rounded.dtype == np.float32 and not np.array_equal(rounded, exact)
    assert np.linalg.norm(rounded - exact) < 0.05 * np.linalg.norm(exact)


def test_bfloat16_needs_a_gpu(model_path):
    with pytest.raises(ConfigError, match="--precision bfloat16: needs a GPU"):
        asr.Recognizer.load(model_path, "cpu", precision="bfloat16")


@st.composite
def any_sound(draw):
    """0 to 3 seconds: noise, silence, a constant, an impulse, or a few numbers again and again; from inaudible to as
    loud as a file may be."""
    length = draw(st.integers(0, 48000))
    level = np.float32(draw(st.sampled_from([1e-30, 1e-6, 0.1, 1.0, 100.0, 32768.0, 1e12])))
    kind = draw(st.sampled_from(["noise", "silence", "constant", "impulse", "any"]))
    samples = np.zeros(length, np.float32)
    if kind == "noise":
        samples = np.random.default_rng(draw(st.integers(0, 99))).uniform(-1, 1, length).astype(np.float32)
    elif kind == "constant":
        samples[:] = draw(st.floats(-1, 1, width=32))
    elif kind == "impulse" and length:
        samples[draw(st.integers(0, length - 1))] = 1
    elif kind == "any":
        samples = np.resize(np.array(draw(st.lists(st.floats(-1, 1, width=32), min_size=1)), np.float32), length)
    return samples * level


@settings(max_examples=60, deadline=None)
@given(samples=any_sound())
def test_any_sound_gives_words_in_order_within_it_and_the_same_in_a_batch(recognizer, samples):
    transcript = recognizer.transcribe(samples)
    assert transcript.duration == len(samples) / 16000
    times = [time for word in transcript.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert all(0 <= time <= transcript.duration + 0.0005 for time in times)  # times are rounded to milliseconds
    assert all(0 <= word.confidence <= 1 for word in transcript.words)
    # As the pipeline does, which gets each window without its constant offset.
    centred = samples - samples.mean(dtype=np.float64).astype(np.float32) if len(samples) else samples
    together = recognizer.recognize([sound(1.3), centred, sound(0.2, 1)])[1]
    assert [(w.text, w.start, w.end) for w in together.words] == [(w.text, w.start, w.end) for w in transcript.words]
    assert [w.confidence for w in together.words] == pytest.approx([w.confidence for w in transcript.words], abs=1e-3)


def test_file_stream_and_samples_agree(recognizer, noise_file):
    path = noise_file("x.wav", seconds=1.0)
    from_file = recognizer.transcribe(path)
    assert recognizer.transcribe(io.BytesIO(path.read_bytes())).words == from_file.words
    assert recognizer.transcribe(asr.load_audio(path).samples).text == from_file.text


def test_conversions_are_reported(recognizer, noise_file):
    notes = recognizer.transcribe(noise_file("x.wav", sample_rate=44100, channels=2)).notes
    assert notes == ("2 channels mixed to one", "resampled from 44100 Hz to 16000 Hz")


def test_unreadable_sound_is_named(recognizer, tmp_path):
    with pytest.raises(AudioError, match=r"none\.wav: no such file"):
        recognizer.transcribe(tmp_path / "none.wav")


def test_emission_is_a_distribution_for_each_frame(recognizer):
    emission = recognizer.emissions([sound(1.0)])[0]
    assert emission.shape == (26, 10)
    np.testing.assert_allclose(np.exp(emission).sum(axis=1), 1, atol=1e-5)


def test_no_recordings_have_no_transcripts(model_path):
    assert asr.Recognizer.load(model_path).recognize([]) == []
