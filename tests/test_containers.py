"""asr.audio.containers: recordings of open length, joined recordings and truncated ones are read whole or refused."""

import functools
import io
import re
import struct

import numpy as np
import pytest
import soundfile

from asr.audio import mpeg
from asr.audio.containers import W64_DATA
from asr.audio.io import load_audio, probe, read_audio
from asr.errors import AudioError

SECONDS = 3


def noise(rate=16000, channels=1):
    """Noise compresses badly: half of the bytes are half of the sound."""
    return 0.1 * np.random.default_rng(1).standard_normal((rate * SECONDS, channels))


@functools.cache
def encode(format, subtype, rate=16000, channels=1, **options):
    stream = io.BytesIO()
    soundfile.write(stream, noise(rate, channels), rate, format=format, subtype=subtype, **options)
    return stream.getvalue()


def replaced(data, fields):
    """The bytes with others at some places."""
    data = bytearray(data)
    for place, new in fields.items():
        data[place : place + len(new)] = new
    return bytes(data)


def assert_read(tmp_path, data, seconds, joined=1, suffix=".bin"):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    audio = load_audio(path)
    assert audio.duration == pytest.approx(seconds, abs=0.01)
    assert probe(path).duration == pytest.approx(seconds, abs=0.01)
    assert load_audio(io.BytesIO(data)).duration == audio.duration, "from a pipe"
    assert (f"{joined} joined recordings read one after the other" in audio.notes) == (joined > 1)
    # The last second has sound: what follows the end that a header states is not silence.
    assert np.abs(audio.samples[-16000:]).max() > 0.05
    return audio


OPEN_32 = (0, 0x7F000000, 0x7FFFF000, 0x7FFFFFDB, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF)
OPEN_64 = (0, 2**63 - 1, 2**64 - 1)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
@pytest.mark.parametrize("length", OPEN_32)
def test_wav_of_open_length(tmp_path, length, subtype):
    data = encode("WAV", subtype)
    place, field = data.index(b"data") + 4, struct.pack("<I", length)
    assert_read(tmp_path, replaced(data, {4: field, place: field}), SECONDS)


def test_wav_with_chunks_before_samples_of_open_length(tmp_path):
    """As ffmpeg writes it to a pipe."""
    data = encode("WAV", "PCM_16")
    tag = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf59.27.100\0"
    data = data[:36] + tag + b"data" + b"\xff" * 4 + data[44:]
    audio = assert_read(tmp_path, data, SECONDS)
    np.testing.assert_allclose(audio.samples, noise()[:, 0] - noise().mean(), atol=1e-4)


def test_two_wavs_of_open_length_joined(tmp_path):
    data = replaced(encode("WAV", "PCM_16"), {40: bytes(4)})
    assert_read(tmp_path, data + data, 2 * SECONDS, joined=2)


@pytest.mark.parametrize("tag", [b"", b"LIST" + struct.pack("<I", 4) + b"INFO"])
def test_an_empty_wav_is_not_one_of_open_length(tag):
    empty = encode("WAV", "PCM_16")[:40] + bytes(4) + tag
    with pytest.raises(AudioError, match="no samples"):
        load_audio(io.BytesIO(empty))


@pytest.mark.parametrize("length", OPEN_64)
@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_rf64_of_open_length(tmp_path, length, magic):
    data = encode("RF64", "PCM_16")
    place = data.index(b"ds64") + 8
    assert_read(tmp_path, replaced(data, {0: magic, place: struct.pack("<QQQ", *[length] * 3)}), SECONDS)


@pytest.mark.parametrize("length", OPEN_64)
def test_w64_of_open_length(tmp_path, length):
    data, field = encode("W64", "PCM_16"), struct.pack("<Q", length)
    assert_read(tmp_path, replaced(data, {16: field, data.index(W64_DATA) + 16: field}), SECONDS)


@pytest.mark.parametrize("length", [0, 0x7F000000, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_aiff_of_open_length(tmp_path, length, subtype):
    data, field = encode("AIFF", subtype), struct.pack(">I", length)
    frames, samples = data.index(b"COMM") + 10, data.index(b"SSND") + 4
    assert_read(tmp_path, replaced(data, {4: field, frames: field, samples: field}), SECONDS)
    assert_read(tmp_path, replaced(data, {frames: field}), SECONDS)


@pytest.mark.parametrize("length", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_au_of_open_length(tmp_path, length):
    assert_read(tmp_path, replaced(encode("AU", "PCM_16"), {8: struct.pack(">I", length)}), SECONDS)


@pytest.mark.parametrize("length", [-1, 0, 2**63 - 1])
def test_caf_of_open_length(tmp_path, length):
    data = encode("CAF", "PCM_16")
    assert_read(tmp_path, replaced(data, {data.index(b"data") + 4: struct.pack(">q", length)}), SECONDS)


def open_flac(rate=16000, channels=1):
    return replaced(encode("FLAC", "PCM_16", rate, channels), {22: bytes(4)})


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (48000, 2), (8000, 1)])
def test_flac_of_open_length(tmp_path, rate, channels):
    assert_read(tmp_path, open_flac(rate, channels), SECONDS)
    assert_read(tmp_path, 2 * open_flac(rate, channels), 2 * SECONDS, joined=2)


def test_a_part_of_flac_of_open_length(tmp_path):
    (tmp_path / "a.flac").write_bytes(open_flac())
    part = load_audio(tmp_path / "a.flac", offset=2.5, duration=0.25).samples
    expected = noise()[40000:44000, 0]
    np.testing.assert_allclose(part, expected - expected.mean(), atol=1e-4)


KINDS = {
    "wav": ("WAV", "PCM_16", 16000, 1),
    "adpcm": ("WAV", "IMA_ADPCM", 16000, 1),
    "gsm": ("WAV", "GSM610", 8000, 1),
    "rf64": ("RF64", "PCM_16", 16000, 1),
    "w64": ("W64", "PCM_16", 16000, 1),
    "flac": ("FLAC", "PCM_16", 48000, 2),
    "vorbis": ("OGG", "VORBIS", 44100, 2),
    "opus": ("OGG", "OPUS", 48000, 1),
    "mp3": ("MP3", "MPEG_LAYER_III", 44100, 2),
    "aiff": ("AIFF", "PCM_16", 16000, 1),
    "au": ("AU", "PCM_16", 16000, 1),
    "caf": ("CAF", "PCM_16", 16000, 1),
    "sphere": ("NIST", "PCM_16", 16000, 1),
}
ROUNDED = 0.12  # seconds: ADPCM and GSM round up to blocks


@pytest.mark.parametrize("kind", KINDS)
def test_joined_recordings_are_read_to_the_last(tmp_path, kind):
    data = encode(*KINDS[kind])
    audio = load_audio(io.BytesIO(data + data))
    assert audio.duration == pytest.approx(2 * SECONDS, abs=ROUNDED)
    first, second = np.split(audio.samples, 2)
    assert np.corrcoef(first, second)[0, 1] > 0.999, "the second is the first once more"
    mixed = load_audio(io.BytesIO(data + encode("FLAC", "PCM_16", 22050)))
    assert mixed.duration == pytest.approx(2 * SECONDS, abs=ROUNDED)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_recordings_are_refused(kind, share):
    data = encode(*KINDS[kind])
    for whole in (b"", data):
        with pytest.raises(AudioError, match="cut short"):
            load_audio(io.BytesIO(whole + data[: int(share * len(data))]))


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_ogg_cut_between_two_pages(subtype):
    data = encode("OGG", subtype, 48000)
    pages = [match.start() for match in re.finditer(b"OggS", data)]
    for page in (pages[-1], pages[len(pages) // 2]):
        with pytest.raises(AudioError, match=r"cut short.* no end mark"):
            load_audio(io.BytesIO(data[:page]))


def mp3(mode="VARIABLE", level=0.5, rate=44100, channels=2):
    return encode("MP3", "MPEG_LAYER_III", rate, channels, compression_level=level, bitrate_mode=mode)


def without_header(data):
    return data[mpeg.parse_header(data[:4]).size :]


FRAMES = 0.08  # seconds: the encoder's delay and padding, which only a header states
TAG = b"ID3\4\0\0\0\0\0\x10" + bytes(16)


@pytest.mark.parametrize(
    ("data", "seconds", "joined"),
    [
        (lambda high, low: without_header(high), SECONDS, 1),
        (lambda high, low: low, SECONDS, 1),
        (lambda high, low: TAG + without_header(high) + b"TAG" + bytes(125), SECONDS, 1),
        (lambda high, low: high + b"TAG" + bytes(125) + TAG + high, 2 * SECONDS, 2),
        (lambda high, low: high + without_header(high), 2 * SECONDS, 1),  # a header that counts the first half only
        (lambda high, low: 2 * low, 2 * SECONDS, 1),
        (lambda high, low: high + low, 2 * SECONDS, 2),
    ],
    ids=["no header", "low rate", "tags", "two with tags", "half counted", "two of low rate", "two rates"],
)
def test_mp3_is_as_long_as_its_frames(tmp_path, data, seconds, joined):
    low = mp3("CONSTANT", 0.9, 16000, 1)  # LAME writes no header at so low a rate
    (tmp_path / "a.mp3").write_bytes(data(mp3(), low))
    audio = load_audio(tmp_path / "a.mp3")
    assert audio.duration == pytest.approx(seconds, abs=joined * FRAMES + 0.1 * (joined == 1 and seconds > SECONDS))
    assert probe(tmp_path / "a.mp3").duration == pytest.approx(audio.duration, abs=0.001)
    assert (f"{joined} joined recordings read one after the other" in audio.notes) == (joined > 1)
    assert np.abs(audio.samples[-8000:]).max() > 0.05


def test_a_variable_rate_that_begins_with_silence(tmp_path):
    """The first frames are small, from which an estimate of the length would be far too long."""
    stream = io.BytesIO()
    samples = np.concatenate([np.zeros(44100), noise(44100)[:, 0]])
    soundfile.write(stream, samples, 44100, format="MP3", bitrate_mode="VARIABLE", compression_level=0.1)
    assert_read(tmp_path, without_header(stream.getvalue()), SECONDS + 1 + 0.03, suffix=".mp3")


def test_shorten_is_refused_with_the_remedy():
    data = encode("NIST", "PCM_16").replace(b"sample_coding -s3 pcm", b"sample_coding -s26 pcm,embedded-shorten-v2.00")
    with pytest.raises(AudioError, match="sph2pipe"):
        load_audio(io.BytesIO(data))


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("level", [0.6, 0.9])
def test_mp3_in_pieces_and_parts_is_the_mp3_read_at_once(tmp_path, mode, level):
    path, samples = tmp_path / "a.mp3", np.tile(noise()[:, 0], 15)
    soundfile.write(path, samples, 16000, compression_level=level, bitrate_mode=mode)
    with read_audio(path) as audio:
        pieces = list(audio.pieces)
    assert len(pieces) > 3
    joined, whole = np.concatenate(pieces), soundfile.read(path, dtype="float32")[0]
    # Without a header of its own, the decoder's delay of 529 samples is taken away too.
    np.testing.assert_allclose(joined, whole[len(whole) - len(joined) :], atol=1e-4)
    part = load_audio(path, offset=20.5, duration=2.0).samples
    np.testing.assert_allclose(part, joined[328000:360000] - joined[328000:360000].mean(), atol=1e-4)
