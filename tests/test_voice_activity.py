"""No speech, no words: the detector on sounds that are not speech, and on a recording of speech at several levels."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.audio.io import load_audio
from asr.audio.voice_activity import BLOCK, RATE, SpeechDetector, find_sound, find_speech, speech_at
from asr.recognition.config import ListenConfig
from asr.recognition.recognizer import Recognizer
from asr.recognition.streaming import listen

RECORDING = Path(__file__).parent / "data" / "1088-134315-0013.opus"
SPEECH = load_audio(RECORDING, RATE).samples
SECONDS = 10
TIME = np.arange(SECONDS * RATE) / RATE


def noise(exponent: float, decibels: float, seed: int = 0) -> np.ndarray:
    """Noise whose power falls with frequency to the power of -exponent: 0 white, 1 pink, 2 brown."""
    random = np.random.default_rng(seed)
    frequencies = np.fft.rfftfreq(len(TIME), 1 / RATE)
    spectrum = np.fft.rfft(random.standard_normal(len(TIME)))
    spectrum[frequencies < 20] = 0
    spectrum[1:] /= frequencies[1:] ** (exponent / 2)
    samples = np.fft.irfft(spectrum, len(TIME))
    return samples * 10 ** (decibels / 20) / samples.std()


def tone(hertz: float, seconds: float = SECONDS) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def events(sounds: list[np.ndarray], every: float) -> np.ndarray:
    """The sounds one after another, one per `every` seconds, again and again."""
    samples = np.zeros(len(TIME))
    for number, start in enumerate(np.arange(0.3, SECONDS - 0.1, every)):
        at, sound = round(start * RATE), sounds[number % len(sounds)]
        samples[at : at + len(sound)] += sound[: len(samples) - at]
    return samples


def decay(seconds: float, rate: float) -> np.ndarray:
    return np.exp(-np.arange(round(seconds * RATE)) / RATE * rate)


def piano_note(hertz: float) -> np.ndarray:
    return 0.08 * decay(1.5, 3) * sum(tone(hertz * k * (1 + 0.0004 * k * k), 1.5) / k**1.5 for k in range(1, 9))


def bark(seed: int) -> np.ndarray:
    from scipy.signal import sawtooth

    random = np.random.default_rng(seed)
    pitch = np.linspace(500, 300, round(0.18 * RATE)) * (1 + 0.05 * random.standard_normal(round(0.18 * RATE)))
    sound = sawtooth(2 * np.pi * np.cumsum(pitch) / RATE) + 0.5 * random.standard_normal(len(pitch))
    return 0.2 * sound * np.hanning(len(sound))


def key(seed: int) -> np.ndarray:
    from scipy.signal import butter, lfilter

    click = np.random.default_rng(seed).standard_normal(round(0.03 * RATE)) * decay(0.03, 200)
    return 0.3 * lfilter(*butter(2, [1500 + 100 * seed, 5000], "band", fs=RATE), click)


def dialled(low: float, high: float) -> np.ndarray:
    return 0.2 * (tone(low, 0.18) + tone(high, 0.18))


def wind() -> np.ndarray:
    gusts = np.random.default_rng(1).uniform(0.1, 1, 21)
    return noise(2, -25) * np.interp(TIME, np.linspace(0, SECONDS, 21), gusts)


WITHOUT_SPEECH = {
    "zeros": lambda: np.zeros(len(TIME)),
    "one-bit noise": lambda: np.random.default_rng(0).integers(-1, 2, len(TIME)) / 32768,
    "white noise": lambda: noise(0, -30),
    "faint white noise": lambda: noise(0, -70),
    "pink noise": lambda: noise(1, -30),
    "brown noise": lambda: noise(2, -30),
    "hum": lambda: 0.05 * sum(tone(50 * k) / k for k in (1, 2, 3, 4, 5, 7)) + noise(0, -70),
    "beep": lambda: events([0.3 * tone(1000, 0.5)], 1.5),
    "piano": lambda: events([piano_note(220 * 2 ** (step / 12)) for step in (0, 4, 7, 12, 9, 5, 16, 2)], 0.4),
    "keyboard": lambda: events([key(seed) for seed in range(10)], 0.17) + noise(1, -65),
    "bark": lambda: events([bark(seed) for seed in range(5)], 0.9) + noise(1, -60),
    "DTMF": lambda: events([dialled(low, high) for low in (697, 852) for high in (1209, 1477)], 0.35),
    "wind": wind,
    "direct current": lambda: np.full(len(TIME), 0.1),
}


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load()


@pytest.mark.slow
@pytest.mark.parametrize("kind", WITHOUT_SPEECH)
def test_sounds_without_speech_have_no_words(recognizer, kind):
    samples = WITHOUT_SPEECH[kind]().astype(np.float32)
    assert recognizer.transcribe(samples).text == ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zeros", "one-bit noise", "pink noise", "keyboard"])
def test_a_stream_without_speech_has_no_words(recognizer, kind):
    samples = WITHOUT_SPEECH[kind]().astype(np.float32)[: 6 * RATE]
    updates = list(listen(recognizer, np.split(samples, 12), ListenConfig()))
    assert not any(update.committed or update.partial for update in updates)


@pytest.mark.slow
@pytest.mark.parametrize("before, behind", [(60.0, 0.0), (25.0, 0.0), (0.0, 25.0), (0.51234, 3.3)])
def test_digital_silence_around_a_recording_changes_no_word(recognizer, before, behind):
    alone = recognizer.transcribe(SPEECH)
    silence = [round(before * RATE), round(behind * RATE)]
    padded = recognizer.transcribe(np.pad(SPEECH, silence))
    assert padded.words and padded.text == alone.text
    assert [word.start - before for word in padded.words] == pytest.approx([w.start for w in alone.words], abs=0.031)


@given(st.integers(0, 50), st.integers(0, 50), st.floats(1e-6, 1.0))
def test_sound_begins_and_ends_with_what_is_not_digital_silence(before, behind, peak):
    sound = peak * np.array([0.01, 0.0, 0.0, 1.0, -0.001], np.float32)
    samples = np.pad(sound, (before, behind), constant_values=peak * 1e-5)
    assert find_sound(samples) == slice(before, before + len(sound))


def test_silence_has_no_sound():
    assert find_sound(np.zeros(100, np.float32)) == find_sound(np.zeros(0, np.float32)) == slice(0, 0)


@pytest.mark.parametrize("decibels", [0, -30, -50])
def test_speech_is_found_at_any_level(decibels):
    silence = np.zeros(4 * RATE, np.float32)
    samples = np.concatenate([silence, SPEECH * 10 ** (decibels / 20), silence])
    times = np.arange(0, len(samples) / RATE, 0.02)
    found = find_speech(samples, RATE, times)
    inside = (times > 4.2) & (times < 4 + len(SPEECH) / RATE - 0.2)
    assert found[inside].all()
    assert not found[(times < 3) | (times > 5.5 + len(SPEECH) / RATE)].any()


@pytest.mark.parametrize("start, end", [(0.4, 0.6), (0.9, 1.2), (0.4, 0.75)])  # 'that', 'word', 'that is'
def test_a_recording_of_one_word_without_any_silence_is_speech(start, end):
    word = SPEECH[round(start * RATE) : round(end * RATE)]
    for samples in (word, word * 0.01, np.concatenate([word, np.zeros(2 * RATE, np.float32)])[: 2 * RATE - 1]):
        assert find_speech(samples, RATE, np.zeros(1)).all()


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_any_sample_rate_will_do(rate):
    samples = np.concatenate([np.zeros(2 * rate, np.float32), load_audio(RECORDING, rate).samples])
    times = np.arange(0, len(samples) / rate - 0.5, 0.02)
    found = find_speech(samples, rate, times)
    assert found[times > 2.3].all() and not found[times < 1.2].any()


def test_pieces_give_the_probabilities_of_the_whole():
    whole = SpeechDetector(RATE).push(SPEECH)
    detector = SpeechDetector(RATE)
    parts = [detector.push(piece) for piece in np.array_split(SPEECH, 37)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    assert len(whole) == len(SPEECH) // BLOCK


def test_a_faint_chance_is_no_speech_unless_certain_nearby():
    times = np.arange(0, 6.4, 0.032)
    faint = np.zeros(200, np.float32)
    faint[50:60] = 0.2
    assert not speech_at(faint, times).any()
    faint[70:80] = 0.9
    assert np.flatnonzero(speech_at(faint, times)).tolist() == list(range(50 - 16, 79 + 16 + 1))
    assert not speech_at(np.zeros(0, np.float32), times).any()


@pytest.mark.slow
def test_the_network_hears_little_of_long_silence(recognizer, monkeypatch):
    heard, score = [], recognizer.log_probabilities

    def note(features):
        heard.extend(map(len, features))
        return score(features)

    monkeypatch.setattr(recognizer, "log_probabilities", note)
    silence = np.tile(noise(1, -65).astype(np.float32), 3)[: 25 * RATE]
    hop = recognizer.file.features.hop_seconds
    recordings = [np.concatenate([*before, SPEECH, *after]) for before, after in (((), (silence,)), ((silence,), ()))]
    transcripts = recognizer.recognize(recordings)
    assert all(frames * hop < len(SPEECH) / RATE + 3 for frames in heard) and len(heard) == 2
    starts = [word.start for word in recognizer.transcribe(SPEECH).words]
    for transcript, offset in zip(transcripts, (0, 25), strict=True):
        np.testing.assert_allclose([word.start - offset for word in transcript.words], starts, atol=0.1)


@pytest.mark.slow
def test_the_option_turns_it_off():
    assert Recognizer.load(voice_activity=False).transcribe(WITHOUT_SPEECH["pink noise"]().astype(np.float32)).text
