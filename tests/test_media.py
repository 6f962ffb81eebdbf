"""asr.audio.media: the sound of m4a, mp4, webm and the like, through FFmpeg where PyAV is installed."""

import io
import sys

import numpy as np
import pytest

from asr.audio.io import SUFFIXES, find_audio, load_audio, probe, read_audio
from asr.audio.media import SUFFIXES as MEDIA_SUFFIXES
from asr.errors import AudioError

SECONDS, HERTZ = 3.0, 440.0


def encode(path, format, codec, rate=16000, channels=1, video=False, seconds=SECONDS, **options):
    """A file with a tone, and with black pictures if it is a video."""
    av = pytest.importorskip("av")
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w", format=format, options=options) as container:
        if video:
            pictures = container.add_stream("mpeg4", rate=10)
            pictures.width = pictures.height = 64
            pictures.pix_fmt = "yuv420p"
        sound = container.add_stream(codec, rate=rate, layout=layout)
        if video:
            black = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            for frame in [black] * round(10 * seconds) + [None]:
                container.mux(pictures.encode(frame))
        tone = 0.5 * np.sin(2 * np.pi * HERTZ * np.arange(round(rate * seconds)) / rate)
        size = sound.codec_context.frame_size or 1024
        for start in range(0, len(tone), size):
            piece = np.tile(tone[start : start + size].astype(np.float32), (channels, 1))
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


KINDS = {
    "a.m4a": ("mp4", "aac", 44100, 2, False),
    "a.mp4": ("mp4", "aac", 48000, 1, True),
    "a.mov": ("mov", "pcm_s16le", 16000, 1, True),
    "a.webm": ("webm", "libopus", 48000, 2, False),
    "a.mkv": ("matroska", "libopus", 48000, 1, True),
    "a.aac": ("adts", "aac", 16000, 1, False),
    "a.avi": ("avi", "libmp3lame", 44100, 1, True),
    "a.mts": ("mpegts", "aac", 16000, 1, True),
    "a.ogg": ("ogg", "flac", 16000, 1, False),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_its_tone(tmp_path, name):
    path = encode(tmp_path / name, *KINDS[name])
    audio = load_audio(path)
    assert audio.duration == pytest.approx(SECONDS, abs=0.1)
    assert probe(path).duration == pytest.approx(audio.duration, abs=0.03)
    inner = audio.samples[8000:40000]
    assert np.sqrt(2 * np.mean(inner**2)) == pytest.approx(0.5, rel=0.07)
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner))))
    assert spectrum.argmax() * 16000 / len(inner) == pytest.approx(HERTZ, abs=1)
    assert any("FFmpeg" in note for note in audio.notes)


@pytest.mark.parametrize("name", ["a.m4a", "a.webm"])
def test_streams_and_parts(tmp_path, name):
    path = encode(tmp_path / name, *KINDS[name])
    whole = load_audio(path).samples
    with path.open("rb") as stream, read_audio(stream) as audio:
        np.testing.assert_allclose(np.concatenate(list(audio.pieces)), whole, atol=0.01)
    part = load_audio(path, offset=1.0, duration=0.5).samples
    np.testing.assert_allclose(part[800:-800], whole[16000:24000][800:-800], atol=0.01)


@pytest.mark.parametrize("name", ["a.m4a", "a.webm", "a.mts", "a.aac", "a.ogg"])
def test_joined_files_are_read_to_the_last(tmp_path, name):
    data = encode(tmp_path / name, *KINDS[name]).read_bytes()
    (tmp_path / name).write_bytes(data + data)
    assert load_audio(tmp_path / name).duration == pytest.approx(2 * SECONDS, abs=0.2)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.m4a", {}),
        ("a.m4a", {"movflags": "faststart"}),
        ("a.m4a", {"movflags": "empty_moov+frag_keyframe"}),
        ("a.webm", {}),
        ("a.mkv", {}),
        ("a.ogg", {}),
    ],
)
def test_truncated_files_are_refused(tmp_path, name, options):
    path = encode(tmp_path / name, *KINDS[name], **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match="cut short") as caught:
        load_audio(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_video_without_sound(tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mp4"), "w", format="mp4") as container:
        pictures = container.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        container.mux(pictures.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        container.mux(pictures.encode(None))
    with pytest.raises(AudioError, match=r"a\.mp4: MP4 .* without an audio stream"):
        load_audio(tmp_path / "a.mp4")


HEADS = {
    "a.m4a": b"\0\0\0\x20ftypM4A ",
    "a.webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01",
    "a.wma": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    "a.amr": b"#!AMR\n",
    "a.aac": b"\xff\xf1\x50\x80",
    "a.avi": b"RIFF\0\0\0\0AVI LIST",
}


@pytest.mark.parametrize("name", HEADS)
def test_without_pyav_the_error_names_the_remedy(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / name).write_bytes(HEADS[name] + bytes(3000))
    with pytest.raises(AudioError, match=r"pip install 'small-asr\[media\]'.*ffmpeg -i") as caught:
        load_audio(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("name", HEADS)
def test_damaged_files_are_refused(tmp_path, name):
    pytest.importorskip("av")
    (tmp_path / name).write_bytes(HEADS[name] + np.random.default_rng(0).bytes(3000))
    with pytest.raises(AudioError, match=name):
        load_audio(tmp_path / name)


def test_a_playlist_in_disguise_opens_nothing(tmp_path):
    encode(tmp_path / "secret.m4a", "mp4", "aac")
    (tmp_path / "a.m4a").write_text("#EXTM3U\n#EXTINF:3,\nsecret.m4a\n#EXT-X-ENDLIST\n")
    with pytest.raises(AudioError, match="not a sound file"):
        load_audio(tmp_path / "a.m4a")


def test_folders_are_searched_for_every_known_kind(tmp_path):
    assert not set(SUFFIXES) & set(MEDIA_SUFFIXES)
    for suffix in (*SUFFIXES, *MEDIA_SUFFIXES, ".txt", ".ts", ".jpg"):
        (tmp_path / f"x{suffix}").touch()
    assert len(find_audio(tmp_path)) == len(SUFFIXES) + len(MEDIA_SUFFIXES)


def test_sphere_is_among_the_known_kinds(tmp_path):
    import soundfile

    stream = io.BytesIO()
    soundfile.write(stream, 0.1 * np.random.default_rng(0).standard_normal(16000), 16000, format="NIST")
    for name in ("a.sph", "b.nist"):
        (tmp_path / name).write_bytes(stream.getvalue())
    assert [load_audio(path).duration for path in find_audio(tmp_path)] == [1.0, 1.0]
