"""Kokoro: letters of its alphabet, blends of voices, a corpus that is made again only where it is missing."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.audio.io import resample
from asr.audio.kokoro import Kokoro, rewrite
from asr.data.config import SyntheticConfig
from asr.data.corpora.synthetic import generate
from asr.data.corpora.synthetic_voices import KokoroEngine
from asr.errors import AsrError
from asr.punctuation.config import PLAIN
from asr.recognition.recognizer import Recognizer

PARTS = Path(__file__).parent.parent / "data" / "english" / "kokoro"
needs_parts = pytest.mark.skipif(
    not (PARTS / "model.onnx").exists(), reason="needs Kokoro's parts: make -C recipes/english kokoro"
)


@pytest.mark.parametrize(
    ("ipa", "accent", "letters"),
    [
        ("d^ʒˈʌd^ʒᵻz t^ʃˈɜːt^ʃ", "a", "ʤˈʌʤᵻz ʧˈɜɹʧ"),
        ("bˈʌʔn̩", "a", "bˈʌtn"),
        ("lˈɪɾə^l", "a", "lˈɪɾᵊl"),
        ("ˈo^ʊld bˈɔ^ɪ", "a", "ˈOld bˈY"),
        ("ˈə^ʊld wˈɔːtə", "b", "ˈQld wˈɔːtə"),
    ],
)
def test_phonemes_are_those_of_kokoros_own_front_end(ipa, accent, letters):
    assert rewrite(ipa, accent) == letters


def test_a_folder_without_the_parts_is_an_error_that_says_how_to_get_them(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(AsrError, match=f"{tmp_path}.*make -C recipes/english kokoro"):
        Kokoro(tmp_path)


@pytest.fixture
def engine(monkeypatch):
    """An engine whose network does nothing."""
    monkeypatch.setattr(KokoroEngine, "__init__", lambda self: None)
    return KokoroEngine()


def test_speakers_are_blends_that_sum_to_one(engine):
    random, voices = np.random.default_rng(0), ["af_heart", "am_puck", "bf_emma", "bm_lewis"]
    drawn = [engine.draw(voices, random) for _ in range(200)]
    assert {len(voice.blend) for voice in drawn} == {1, 2, 3}
    for voice in drawn:
        shares = list(voice.blend.values())
        assert sum(shares) == pytest.approx(1) and shares == sorted(shares, reverse=True)
        assert voice.accent == {"a": "en-us", "b": "en"}[next(iter(voice.blend))[0]]
    assert len({tuple(voice.blend.values()) for voice in drawn if len(voice.blend) > 1}) > 100


@needs_parts
@pytest.mark.slow
def test_speech_can_be_understood():
    pytest.importorskip("onnxruntime")
    text = "the old man went down to the river and looked at the water"
    speaker = Kokoro(PARTS)
    samples = speaker.say(text, {"bm_george": 0.5, "bf_emma": 0.3, "bm_lewis": 0.2}, 1.0)
    recognizer = Recognizer.load(writing=PLAIN)
    recognized = recognizer.transcribe(resample(samples, speaker.sample_rate, 16000)).text
    assert len(set(recognized.split()) & set(text.split())) >= 9


@needs_parts
@pytest.mark.slow
def test_an_interrupted_corpus_is_completed_with_the_same_recordings(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "text.txt").write_text(
        "".join(f"the {word} is here\n" for word in ("river", "tower", "garden", "hill"))
    )
    config = SyntheticConfig(train=2, dev=1, test=1, engine="kokoro", kokoro=PARTS)

    def make():
        return list(generate(str(tmp_path / "text.txt"), tmp_path / "corpus", config))

    first = make()
    sounds = {each.id: soundfile.read(each.audio)[0] for each in first}
    removed, kept = first[0].audio, first[-1].audio
    removed.unlink()
    before = kept.stat().st_mtime_ns
    assert make() == first and kept.stat().st_mtime_ns == before
    assert all(np.array_equal(soundfile.read(each.audio)[0], sounds[each.id]) for each in first)
