"""Changes to the training sound: each does what its numbers say, and follows from the generator alone."""

import dataclasses
import pickle

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.audio.augment import Changes, WaveformAugmenter, draw_changes
from asr.audio.config import AugmentConfig
from asr.audio.effects import OCTAVES, TELEPHONE_CODECS, add_noise
from asr.config import load_recipe
from asr.errors import AudioError, ConfigError

RATE = 16000
EVERYTHING = AugmentConfig(
    speeds=(0.9, 1.0, 1.1),
    reverberation_share=0.5,
    noise_share=0.5,
    band_limit_share=0.5,
    telephone_share=0.5,
    gain_decibels=20.0,
    clipping_share=0.3,
    quiet_share=0.3,
    mp3_share=0.3,
    opus_share=0.3,
    gap_share=0.3,
    trim_share=0.3,
    silence_share=0.3,
    equalizer_decibels=9.0,
)
PAIRS = [name for name, value in vars(AugmentConfig()).items() if isinstance(value, tuple) and name != "speeds"]


def tone(hertz: float, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def white(seconds: float = 1.0, seed: int = 9) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def change(samples: np.ndarray, config: AugmentConfig = AugmentConfig(), seed: int = 0, **changes) -> np.ndarray:  # noqa: B008
    return WaveformAugmenter(config, RATE)(samples, Changes(**changes), np.random.default_rng(seed))


def decibels(power: float) -> float:
    return 10 * np.log10(power + 1e-20)


def band_decibels(samples: np.ndarray, lowest: float, highest: float) -> float:
    """Power between two frequencies."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2 / len(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    return decibels(power[(hertz >= lowest) & (hertz < highest)].sum())


def loudest_hertz(samples: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * RATE / len(samples))


def test_the_defaults_leave_the_sound_as_it_is():
    samples = white() * 30  # far beyond full scale, which is the recording's own matter
    for seed in range(20):
        random = np.random.default_rng(seed)
        changes = draw_changes(AugmentConfig(), random)
        assert changes == Changes() and changes.to_text() == "unchanged"
        np.testing.assert_array_equal(WaveformAugmenter(AugmentConfig(), RATE)(samples, changes, random), samples)


@pytest.mark.parametrize("speed", [0.5, 0.9, 1.1, 2.0])
def test_speed_changes_length_and_pitch(speed):
    changed = change(tone(1000), speed=speed)
    assert len(changed) == round(RATE / speed)
    assert loudest_hertz(changed) == pytest.approx(1000 * speed, abs=2)


@pytest.mark.parametrize("snr", [-5.0, 0.0, 10.0, 30.0])
@pytest.mark.parametrize("choice", [0.0, 0.5, 1.0])
def test_noise_has_the_requested_ratio(snr, choice):
    speech = tone(440, amplitude=0.05)
    noise = change(speech, noise_snr_decibels=snr, noise_choice=choice) - speech
    assert decibels(np.mean(speech**2)) - decibels(np.mean(noise**2)) == pytest.approx(snr, abs=0.05)


def test_generated_noise_goes_from_white_to_brown():
    silence = tone(7900, seconds=4, amplitude=0.01)  # out of the bands measured
    slopes = []
    for choice in (0.0, 0.5, 1.0):
        noise = change(silence, noise_snr_decibels=-20.0, noise_choice=choice)
        slopes.append(band_decibels(noise, 200, 400) - band_decibels(noise, 3200, 6400))
    # 4 octaves apart and 16 times as wide: white has 12 dB less power in the lower band, brown 24 dB more than white.
    np.testing.assert_allclose(slopes, [-12, 0, 12], atol=2)


def test_noise_comes_from_the_folder_and_is_repeated_where_it_is_short(tmp_path):
    (tmp_path / "deep").mkdir()
    soundfile.write(tmp_path / "deep" / "hum.flac", tone(3000, seconds=0.25), RATE)
    speech = tone(100, seconds=2.0)
    augmenter = WaveformAugmenter(AugmentConfig(noise=tmp_path), RATE)
    changes = Changes(noise_snr_decibels=6.0)
    noise = augmenter(speech, changes, np.random.default_rng(0)) - speech
    assert loudest_hertz(noise) == pytest.approx(3000, abs=4)
    assert band_decibels(noise[-4000:], 2900, 3100) > band_decibels(noise[-4000:], 0, 2900)
    assert augmenter.describe(changes) == "hum.flac 6 dB below"


def test_every_recording_of_the_folder_is_used(tmp_path):
    for hertz in (1000, 2000, 3000):
        soundfile.write(tmp_path / f"{hertz}.wav", tone(hertz, seconds=2.0), RATE)
    config = AugmentConfig(noise=tmp_path, noise_share=1.0)
    augmenter, random = WaveformAugmenter(config, RATE), np.random.default_rng(0)
    speech = tone(100, amplitude=0.001)
    noises = [augmenter(speech, draw_changes(config, random), random) - speech for _ in range(30)]
    assert {round(loudest_hertz(noise) / 100) for noise in noises} == {10, 20, 30}


def test_any_part_of_a_long_recording_is_used(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.concatenate([tone(1000, seconds=2.0), tone(3000, seconds=2.0)]), RATE)
    config, speech = AugmentConfig(noise=tmp_path), tone(100, seconds=0.2, amplitude=0.001)
    noises = [change(speech, config, seed, noise_snr_decibels=0.0) - speech for seed in range(10)]
    assert {round(loudest_hertz(noise) / 100) for noise in noises} == {10, 30}


def test_silent_noise_and_silent_speech_stay_finite():
    assert np.array_equal(add_noise(tone(440), np.zeros(RATE), 10.0), tone(440))
    assert not change(np.zeros(RATE, np.float32), noise_snr_decibels=0.0).any()


@pytest.mark.parametrize("seconds", [0.2, 0.5, 0.8])
def test_a_room_falls_by_60_decibels_in_its_time(seconds):
    click = np.zeros(2 * RATE, np.float32)
    click[0] = 0.5
    tail = change(click, reverberation_seconds=seconds, reverberation_decibels=0.0)[1:]
    # Schroeder's backward integration: what is still to come, from -5 to -35 dB of it.
    remaining = decibels(np.cumsum(tail[::-1].astype(np.float64) ** 2)[::-1] / np.sum(tail.astype(np.float64) ** 2))
    start, stop = np.argmax(remaining < -5), np.argmax(remaining < -35)
    assert 2 * (stop - start) / RATE == pytest.approx(seconds, rel=0.1)


def test_a_near_voice_has_a_weaker_tail():
    click = np.zeros(RATE, np.float32)
    click[0] = 0.5
    for above in (0.0, 12.0):
        heard = change(click, reverberation_seconds=0.3, reverberation_decibels=above)
        direct, tail = heard[0] ** 2, np.sum(heard[1:] ** 2)
        assert decibels(direct) - decibels(tail) == pytest.approx(above, abs=0.1)


def test_a_band_limit_removes_only_what_is_above_it():
    changed = change(white(2.0), band_limit_hertz=3000.0)
    assert band_decibels(changed, 3300, 8000) < band_decibels(white(2.0), 3300, 8000) - 60
    assert band_decibels(changed, 0, 2700) == pytest.approx(band_decibels(white(2.0), 0, 2700), abs=0.1)
    np.testing.assert_allclose(change(tone(1000), band_limit_hertz=3000.0)[800:-800], tone(1000)[800:-800], atol=1e-3)


@pytest.mark.parametrize("codec", TELEPHONE_CODECS)
def test_the_telephone_keeps_its_band_without_delay(codec):
    speech = white(2.0)
    heard = change(speech, telephone=codec)
    assert len(heard) == len(speech)
    whole = band_decibels(heard, 0, 8000)
    assert band_decibels(heard, 4000, 8000) < whole - 45
    assert band_decibels(heard, 0, 150) < whole - 12
    assert band_decibels(heard, 400, 3200) > whole - 1
    clean = change(tone(1000), telephone=codec)
    error = clean[800:-800] - tone(1000)[800:-800]
    assert decibels(np.mean(tone(1000) ** 2)) - decibels(np.mean(error**2)) > 12, "in step with the original"


@pytest.mark.parametrize(
    ("codec", "kilobits"),
    [(f"{codec}_kilobits", rate) for codec, rates in (("mp3", (16, 24, 64)), ("opus", (6, 12, 32))) for rate in rates],
)
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_lossy_coding_changes_the_sound_but_not_its_time(codec, kilobits, rate):
    random = np.random.default_rng(3)
    # Syllables: bursts of harmonics of a low voice. Their envelope makes the delay unambiguous.
    time = np.arange(2 * rate) / rate
    envelope = np.repeat(random.random(20) > 0.5, rate // 10).astype(np.float32)
    speech = 0.05 * envelope * sum(np.sin(2 * np.pi * 120 * k * time) for k in range(1, 16)).astype(np.float32)
    coded = WaveformAugmenter(AugmentConfig(), rate)(speech, Changes(**{codec: kilobits}), random)
    assert len(coded) == len(speech)
    size = 4 * len(speech)
    correlation = np.fft.irfft(np.fft.rfft(coded, size) * np.conj(np.fft.rfft(speech, size)))
    lag = (int(correlation.argmax()) + size // 2) % size - size // 2
    assert abs(lag) / rate < 0.002
    distance = decibels(np.mean(speech**2)) - decibels(np.mean((coded - speech) ** 2))
    assert 0 < distance < 40, "in phase with the original, and not identical"


def test_a_lower_bit_rate_is_farther_from_the_original():
    speech = white(2.0) + tone(440, 2.0)
    for codec, rates in (("mp3_kilobits", (24.0, 48.0, 128.0)), ("opus_kilobits", (12.0, 32.0, 128.0))):
        errors = [decibels(np.mean((change(speech, **{codec: rate}) - speech) ** 2)) for rate in rates]
        assert errors == sorted(errors, reverse=True), codec


@pytest.mark.parametrize("below", [3.0, 12.0])
def test_clipping_cuts_the_peaks_and_nothing_else(below):
    speech = white()
    clipped = change(speech, clipping_decibels=below)
    limit = np.abs(speech).max() * 10 ** (-below / 20)
    assert np.abs(clipped).max() == pytest.approx(limit, rel=1e-5)
    inside = np.abs(speech) < limit
    np.testing.assert_allclose(clipped[inside], speech[inside], rtol=1e-5)
    assert not change(np.zeros(100, np.float32), clipping_decibels=below).any()


@pytest.mark.parametrize("below", [30.0, 60.0])
def test_a_quiet_recording_has_few_levels(below):
    quiet = change(white(), quiet_decibels=below)
    assert -20 * np.log10(np.abs(quiet).max()) == pytest.approx(below, abs=0.2)
    assert len(np.unique(quiet)) <= 2 * 32768 * 10 ** (-below / 20) + 1
    assert not change(np.zeros(100, np.float32), quiet_decibels=below).any()


def test_gaps_are_zeros_of_the_requested_duration():
    speech = white(60.0) + 1.0  # never 0
    cut = change(speech / 2, gap_seconds=0.05, gaps_per_second=0.5)
    edges = np.diff(np.concatenate([[0], cut == 0, [0]]).astype(int))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    assert 15 <= len(lengths) <= 45
    assert np.median(lengths) == round(0.05 * RATE)
    kept = cut != 0
    np.testing.assert_array_equal(cut[kept], (speech / 2)[kept])
    assert (change(white(0.5) + 1, gap_seconds=0.02, gaps_per_second=0.001) == 0).any(), "at least one"


def test_quiet_ends_are_trimmed_but_never_more_than_a_quarter():
    hiss, word = 0.02 * tone(3000, 0.1), tone(300, 0.5)  # 28 dB apart
    recording = np.concatenate([hiss, word, hiss])
    np.testing.assert_array_equal(change(recording, trim_decibels=20.0), word)
    np.testing.assert_array_equal(change(recording, trim_decibels=35.0), recording)
    click = np.concatenate([tone(300, 0.01), 0.02 * tone(300, 0.99)])
    assert len(change(click, trim_decibels=8.0)) == 0.75 * RATE


def test_silence_surrounds_the_recording_without_a_click():
    padded = change(tone(440), silence_before=0.1, silence_after=0.3)
    middle = slice(RATE // 100, -RATE // 100)
    np.testing.assert_array_equal(padded[RATE // 10 : RATE // 10 + RATE][middle], tone(440)[middle])
    assert not padded[: RATE // 10].any() and not padded[-3 * RATE // 10 :].any() and len(padded) == 1.4 * RATE
    assert np.abs(np.diff(padded)).max() <= np.abs(np.diff(tone(440))).max()


def test_the_equalizer_has_its_gains_at_the_octaves():
    gains = (0.0, -6.0, 0.0, 6.0, 0.0, 3.0, 0.0)
    for hertz, gain in zip(OCTAVES[:-1], gains, strict=False):
        heard = change(tone(hertz, amplitude=0.1), equalizer_decibels=gains)
        assert decibels(np.mean(heard**2)) - decibels(np.mean(tone(hertz, amplitude=0.1) ** 2)) == pytest.approx(
            gain, abs=0.3
        )


def test_newer_changes_leave_the_draws_of_older_recipes_as_they_were():
    """Values drawn before MP3, Opus, clipping, quiet recordings and gaps were options."""
    random = np.random.default_rng((7, 1, 2))
    old = AugmentConfig(speeds=(0.9, 1.0, 1.1), noise_share=0.5, reverberation_share=0.5, gain_decibels=6.0)
    drawn = draw_changes(old, random)
    wanted = Changes(speed=1.1, noise_snr_decibels=22.3853097, noise_choice=0.8740668, gain_decibels=2.6063775)
    for name, value in dataclasses.asdict(wanted).items():
        assert getattr(drawn, name) == pytest.approx(value)
    assert random.random() == pytest.approx(0.1237913, abs=1e-6), "the room's tail and the noise come from here"


def test_gain():
    np.testing.assert_allclose(change(tone(440), gain_decibels=-20.0), 0.1 * tone(440), rtol=1e-5)
    assert np.abs(change(tone(440), gain_decibels=40.0)).max() == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(samples=st.one_of(st.integers(0, 40), st.integers(0, 9000)), seed=st.integers(0, 10_000))
def test_every_length_has_its_changes_and_the_same_seed_gives_the_same_samples(samples, seed):
    config = EVERYTHING
    speech = 3 * white()[:samples]
    sounds = []
    for _ in range(2):
        random = np.random.default_rng(seed)
        changes = draw_changes(config, random)
        sounds.append(WaveformAugmenter(config, RATE)(speech, changes, random))
    np.testing.assert_array_equal(*sounds)
    silence = round(RATE * changes.silence_before) + round(RATE * changes.silence_after)
    longest = max(1, round(samples / changes.speed)) + silence if samples else 0
    assert longest // 2 <= len(sounds[0]) <= longest and (changes.trim_decibels or len(sounds[0]) == longest)
    assert sounds[0].dtype == np.float32 and np.isfinite(sounds[0]).all()
    assert changes == Changes() or np.abs(sounds[0]).max(initial=0) <= 1


def test_changes_are_as_frequent_and_as_large_as_configured():
    config = dataclasses.replace(EVERYTHING, noise_share=0.2, telephone_share=1.0)
    drawn = [draw_changes(config, np.random.default_rng(seed)) for seed in range(2000)]
    assert {changes.speed for changes in drawn} == {0.9, 1.0, 1.1}
    assert {changes.telephone for changes in drawn} == set(TELEPHONE_CODECS)
    assert np.mean([changes.noise_snr_decibels is not None for changes in drawn]) == pytest.approx(0.2, abs=0.03)
    for name in PAIRS:
        lowest, highest = getattr(config, name)
        field = "silence_before" if name == "silence_seconds" else name
        values = [value for changes in drawn if (value := getattr(changes, field))]
        assert lowest <= min(values) < lowest + 0.1 * (highest - lowest)
        assert highest - 0.1 * (highest - lowest) < max(values) <= highest
    gains = [changes.gain_decibels for changes in drawn]
    assert -20 <= min(gains) < -18 and 18 < max(gains) <= 20


def test_another_share_of_one_change_leaves_the_others_as_they_were():
    for seed in range(50):
        with_noise = draw_changes(EVERYTHING, np.random.default_rng(seed))
        without = draw_changes(dataclasses.replace(EVERYTHING, noise_share=0.0), np.random.default_rng(seed))
        assert dataclasses.replace(with_noise, noise_snr_decibels=None, noise_choice=0.0) == without


def test_worker_processes_make_the_same_sound(tmp_path):
    soundfile.write(tmp_path / "hum.wav", tone(3000), RATE)
    augmenter = WaveformAugmenter(AugmentConfig(noise=tmp_path), RATE)
    changes = Changes(noise_snr_decibels=5.0, reverberation_seconds=0.3)
    sounds = [
        each(tone(440), changes, np.random.default_rng(1))
        for each in (augmenter, pickle.loads(pickle.dumps(augmenter)))
    ]
    np.testing.assert_array_equal(*sounds)


def test_the_text_names_every_change():
    ends, room, noise, equalizer = (20.0, 0.1, 0.25), (0.42, 6.0), (12.3, 0.5), (-3.2, 8.0)
    changes = Changes(1.1, *ends, *room, *noise, -3.14, equalizer, 8.0, 40.0, 4000.0, 24.0, 16.0, "A-law", 0.05, 1.0)
    assert WaveformAugmenter(AugmentConfig(), RATE).describe(changes) == (
        "speed 1.1, ends trimmed 20 dB below the peak, silence of 0.10 s before and 0.25 s after, "
        "room of 0.42 s, its tail 6 dB below, pink noise 12 dB below, gain -3.1 dB, equalizer -3 +8 dB, "
        "clipped 8 dB below the peak, recorded 40 dB below full scale, nothing above 4000 Hz, MP3 at 24 kbit/s, "
        "Opus at 16 kbit/s, telephone (A-law), gaps of 0.05 s"
    )


def test_an_unusable_noise_folder_is_an_error_at_once(tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match=f"augment.noise: {folder}: "):
            WaveformAugmenter(AugmentConfig(noise=folder), RATE)
    soundfile.write(tmp_path / "good.wav", tone(440), RATE)
    soundfile.write(tmp_path / "cut.flac", white(), RATE)
    whole = (tmp_path / "cut.flac").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not a sound"):
        (tmp_path / "cut.flac").write_bytes(damaged)
        with pytest.raises(AudioError, match=r"cut\.flac"):
            WaveformAugmenter(AugmentConfig(noise=tmp_path), RATE)


def test_a_band_wider_than_the_sound():
    with pytest.raises(ConfigError, match=r"augment\.band_limit_hertz: 7000 Hz"):
        WaveformAugmenter(AugmentConfig(band_limit_share=0.5), 8000)


def recipe(folder, **augment):
    path = folder / "recipe.toml"
    path.write_text("\n".join(["[augment]", *(f"{name} = {value}" for name, value in augment.items())]))
    return path


def test_the_noise_folder_is_below_the_recipe(tmp_path):
    assert load_recipe(recipe(tmp_path, noise='"../noise"')).augment.noise == tmp_path.parent / "noise"


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"speeds": "[3.0]"}, "2.0"),
        ({"speeds": "[]"}, "length >= 1"),
        ({"noise_share": 1.5}, "1.0"),
        ({"noise_snr_decibels": "[20, 5]"}, "not 20 5"),
        ({"mp3_kilobits": "[8, 24]"}, "16.0"),
        ({"opus_kilobits": "[24, 500]"}, "256.0"),
        ({"copies": 0}, "1"),
    ],
)
def test_bad_options_are_named(tmp_path, option, told):
    path = recipe(tmp_path, **option)
    with pytest.raises(ConfigError) as error:
        load_recipe(path)
    for part in (str(path), "augment", *option, told):
        assert part in str(error.value)
