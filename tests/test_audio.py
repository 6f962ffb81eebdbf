"""asr.audio.io: samples of sound files of every kind, and the errors for broken ones."""

import io
import re
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.audio.io import Audio, find_audio, load_audio, probe, read_audio
from asr.errors import AudioError, one_line


def tone(seconds=0.5, rate=16000, hertz=440.0, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def encode(samples, rate=16000, format="WAV", subtype=None):
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=format, subtype=subtype)
    return stream.getvalue()


def write(path, *arguments, **options):
    path.write_bytes(encode(*arguments, **options))
    return path


def loudest_hertz(audio):
    spectrum = np.abs(np.fft.rfft(audio.samples * np.hanning(len(audio.samples))))
    return np.argmax(spectrum) * audio.sample_rate / len(audio.samples)


def middle_amplitude(audio):
    """From the root mean square of the inner half, where no filter or codec has an edge."""
    quarter = len(audio.samples) // 4
    return np.sqrt(2 * np.mean(audio.samples[quarter : 3 * quarter] ** 2))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "name, format, subtype, rate",
    [
        ("a.wav", "WAV", "PCM_16", 8000),
        ("a.wav", "WAV", "PCM_24", 44100),
        ("a.wav", "WAV", "PCM_U8", 11025),
        ("a.wav", "WAV", "FLOAT", 48000),
        ("a.wav", "WAV", "ULAW", 8000),
        ("a.flac", "FLAC", "PCM_16", 22050),
        ("a.ogg", "OGG", "VORBIS", 32000),
        ("a.opus", "OGG", "OPUS", 48000),
        ("a.mp3", "MP3", "MPEG_LAYER_III", 44100),
        ("a.mp3", "MP3", "MPEG_LAYER_III", 16000),
        ("a.aiff", "AIFF", "PCM_16", 16000),
    ],
)
def test_every_format_gives_the_same_tone(tmp_path, name, format, subtype, rate, channels):
    samples = tone(1.0, rate)
    path = write(tmp_path / name, np.tile(samples[:, None], channels), rate, format=format, subtype=subtype)
    audio = load_audio(path)
    assert audio.samples.dtype == np.float32
    assert audio.samples.ndim == 1
    assert audio.sample_rate == 16000
    assert audio.duration == pytest.approx(1.0, abs=0.06)  # codecs pad to whole frames
    assert loudest_hertz(audio) == pytest.approx(440, abs=2)
    assert middle_amplitude(audio) == pytest.approx(0.5, rel=0.03)
    info = probe(path)
    assert (info.sample_rate, info.channels) == (rate, channels)
    assert info.duration == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_frequency_and_amplitude(rate):
    audio = load_audio(io.BytesIO(encode(tone(1.0, rate, 3000.0), rate, subtype="FLOAT")))
    assert loudest_hertz(audio) == pytest.approx(3000, abs=1)
    assert middle_amplitude(audio) == pytest.approx(0.5, rel=0.005)
    assert len(audio.samples) == pytest.approx(16000, abs=1)


def test_resampling_does_not_alias():
    audio = load_audio(io.BytesIO(encode(tone(1.0, 48000, 10000.0), 48000, subtype="FLOAT")))
    assert middle_amplitude(audio) < 0.5e-3


def test_channels_are_averaged_and_conversions_reported():
    stereo = np.stack([tone(1.0, 44100, 500), np.zeros(44100)], axis=1)
    audio = load_audio(io.BytesIO(encode(stereo, 44100)))
    assert audio.notes == ("2 channels mixed to one", "resampled from 44100 Hz to 16000 Hz")
    assert middle_amplitude(audio) == pytest.approx(0.25, rel=0.01)
    assert load_audio(io.BytesIO(encode(tone()))).notes == ()


@pytest.mark.parametrize("loudness", [1.0, 0.5])
@pytest.mark.parametrize("noise_level", [0.0, 0.05])
def test_channels_that_cancel_are_not_mixed(loudness, noise_level):
    """One of them has inverted polarity, as by a miswired cable: nothing but noise would be left."""
    random, voice = np.random.default_rng(0), tone(25.0)
    left = voice + noise_level * random.standard_normal(len(voice))
    right = noise_level * random.standard_normal(len(voice)) - loudness * voice
    audio = load_audio(io.BytesIO(encode(np.stack([left, right], axis=1))))
    if loudness == 1:
        assert re.fullmatch("channel [12] of 2 used: the channels cancel each other when mixed", *audio.notes)
        assert middle_amplitude(audio) == pytest.approx(0.5, rel=0.03)
    else:
        assert audio.notes == ("2 channels mixed to one",), "half of the louder one is left"


def test_channels_that_differ_are_mixed():
    random = np.random.default_rng(0)
    for stereo in (
        random.standard_normal((16000, 2)),
        np.stack([tone(), np.zeros(8000)], axis=1),
        np.zeros((16000, 8)),
    ):
        assert load_audio(io.BytesIO(encode(0.1 * stereo))).notes == (f"{stereo.shape[1]} channels mixed to one",)


def test_cancelling_channels_are_reported_while_reading_in_pieces():
    sound = np.concatenate([np.zeros(20 * 16000), tone(15.0)])
    with read_audio(io.BytesIO(encode(np.stack([0.5 * sound, -sound / 2], axis=1)))) as audio:
        samples = np.concatenate(list(audio.pieces))
    assert audio.notes == ["channel 1 of 2 used: the channels cancel each other when mixed"]
    assert np.abs(samples[-16000:]).max() == pytest.approx(0.25, rel=0.01)


def test_constant_offset_is_removed():
    audio = load_audio(io.BytesIO(encode(tone() + 0.3)))
    assert abs(audio.samples.mean()) < 1e-5
    assert middle_amplitude(audio) == pytest.approx(0.5, rel=0.001)


def test_long_silence_stays_silence():
    audio = load_audio(io.BytesIO(encode(np.zeros(60 * 8000), 8000)))
    assert audio.duration == pytest.approx(60)
    assert not audio.samples.any()


def test_a_part_of_a_recording(tmp_path):
    path = write(tmp_path / "a.flac", np.concatenate([tone(0.5, hertz=300), tone(0.5, hertz=2000)]), format="FLAC")
    assert loudest_hertz(load_audio(path, offset=0.5)) == pytest.approx(2000, abs=4)
    part = load_audio(path, offset=0.1, duration=0.3)
    assert len(part.samples) == 4800
    assert loudest_hertz(part) == pytest.approx(300, abs=4)
    with pytest.raises(AudioError, match=r"has 1\.00 s, so no part from 0\.50 s to 1\.20 s"):
        load_audio(path, offset=0.5, duration=0.7)


def piped_wav(size):
    """A wav file as a program writes it to a pipe, where it cannot go back and fill in the size."""
    samples = (tone() * 32767).astype("<i2").tobytes()
    header = b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    return header + b"data" + struct.pack("<I", size) + samples


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_wav_from_a_pipe(size):
    audio = load_audio(io.BytesIO(piped_wav(size)))
    assert audio.duration == pytest.approx(0.5)
    assert middle_amplitude(audio) == pytest.approx(0.5, rel=0.001)


def noise(seconds=2.0):
    """Noise, for that compresses badly: a cut in the middle of the file is one in the middle of the sound."""
    return 0.1 * np.random.default_rng(0).standard_normal(round(16000 * seconds))


def not_a_number():
    samples = tone()
    samples[100] = np.nan
    return encode(samples, subtype="FLOAT")


BROKEN = {
    "empty.wav": (b"", "empty"),
    "text.wav": (b"chapter one\nit was a dark night\n" * 20, "not a sound file"),
    "none.wav": (encode(np.zeros(0)), "no samples"),
    "cut.wav": (encode(noise())[:30000], "cut short"),
    "cut.flac": (encode(noise(), format="FLAC")[:20000], "cut short"),
    "cut.ogg": (encode(noise(), format="OGG", subtype="VORBIS")[:5000], "cut short"),
    "cut.opus": (encode(noise(), format="OGG", subtype="OPUS")[:5000], "cut short"),
    "nan.wav": (not_a_number(), "1 samples are NaN"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named_in_one_line(tmp_path, name):
    data, reason = BROKEN[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(AudioError, match=reason) as caught:
        load_audio(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [load_audio, probe])
@pytest.mark.parametrize("name", ["missing.wav", "", "nul\0byte.wav", "long" * 100])
def test_files_that_cannot_be_opened(tmp_path, read, name):
    with pytest.raises(AudioError, match="give the path of a sound file") as caught:
        read(tmp_path / name)
    assert one_line(str(tmp_path / name)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["empty.wav", "text.wav", "none.wav", "cut.wav", "cut.ogg"])
def test_probe_returns_the_properties_in_headers(tmp_path, name):
    (tmp_path / name).write_bytes(BROKEN[name][0])
    with pytest.raises(AudioError, match=BROKEN[name][1]):
        probe(tmp_path / name)


def test_find_audio_by_suffix_in_order(tmp_path):
    for name in ("b/2.WAV", "b/1.flac", "a.mp3", "a.txt", ".hidden.wav", "b/._1.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_audio(tmp_path) == [tmp_path / "a.mp3", tmp_path / "b/1.flac", tmp_path / "b/2.WAV"]


VALID = {
    "wav": encode(noise(0.2)),
    "flac": encode(noise(0.2), format="FLAC"),
    "ogg": encode(noise(0.2), format="OGG", subtype="VORBIS"),
}


def loads_or_says_why(data):
    try:
        audio = load_audio(io.BytesIO(data))
    except AudioError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(audio, Audio)
        assert np.isfinite(audio.samples).all()


def test_a_header_that_claims_more_than_the_file_can_hold():
    data = bytearray(VALID["flac"])
    data[21:26] = b"\xff" * 5  # STREAMINFO: 4 bits of the sample width, then the number of samples
    with pytest.raises(AudioError, match=r"bytes cannot hold as much"):
        load_audio(io.BytesIO(bytes(data)))


@pytest.mark.parametrize("rate", [1, 1999, 10_000_000])
def test_sample_rates_that_no_recorder_has(rate):
    with pytest.raises(AudioError, match=f"sample rate of {rate} Hz"):
        load_audio(io.BytesIO(encode(tone(), rate)))


def test_the_highest_rate_and_many_channels_come_in_small_pieces(tmp_path):
    path = write(tmp_path / "a.wav", np.zeros((20_000, 1000)), 1_000_000, subtype="PCM_U8")
    with read_audio(path) as audio:
        assert sum(map(len, audio.pieces)) == pytest.approx(320, abs=2)


@given(st.sampled_from([b"", b"RIFF\xff\xff\xff\xffWAVE", b"OggS", b"fLaC", b"ID3", b"FORM"]), st.binary(max_size=300))
@settings(max_examples=50, deadline=None)
def test_random_bytes(magic, data):
    loads_or_says_why(magic + data)


@given(st.sampled_from(sorted(VALID)), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_random_truncation(format, share):
    data = VALID[format]
    loads_or_says_why(data[: int(share * len(data))])


@given(st.sampled_from(sorted(VALID)), st.integers(0, 199), st.integers(0, 255))
@settings(max_examples=50, deadline=None)
def test_one_wrong_byte_near_the_start(format, position, value):
    data = bytearray(VALID[format])
    data[position] = value
    loads_or_says_why(bytes(data))
