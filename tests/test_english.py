"""The English model that comes with the program: present, small, the default, and as accurate as its card states."""

import json
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile

from asr.audio.espeak import Espeak
from asr.audio.io import load_audio, resample
from asr.decoding.config import load_decoder
from asr.evaluation.config import EvaluateConfig
from asr.evaluation.evaluate_model import assess
from asr.pretrained import ENGLISH
from asr.recognition.config import ListenConfig
from asr.recognition.recognizer import Recognizer
from asr.recognition.streaming import listen
from asr.text.normalizer import basic

ROOT = Path(__file__).parent.parent
SPEECH = ROOT.parent / "shared" / "speech"
SHIPPED = json.loads((ROOT / "recipes" / "english" / "expected.json").read_text())["shipped"]
SENTENCE = "the old man went down to the river and looked at the water"


@pytest.fixture(scope="module")
def sentence(tmp_path_factory) -> Path:
    """A synthetic sentence, for tests of whether words come out, not of how good they are."""
    speaker, path = Espeak(), tmp_path_factory.mktemp("spoken") / "sentence.wav"
    clean = speaker.say(SENTENCE, "en-us", words_per_minute=140, pitch=40)
    soundfile.write(path, resample(clean, speaker.sample_rate, 16000), 16000)
    return path


def test_model_and_language_model_are_small():
    assert ENGLISH.stat().st_size <= 16e6
    assert Path(load_decoder(ENGLISH).lm).stat().st_size <= 16e6


@pytest.mark.slow
def test_the_english_model_is_the_default(asr, sentence):
    result = asr("transcribe", sentence)
    assert result.returncode == 0, result.stderr
    assert right(result.stdout) >= 0.7


@pytest.mark.slow
def test_python_needs_no_model_name_either(sentence):
    assert right(Recognizer.load().transcribe(sentence).text) >= 0.7


@pytest.mark.slow
def test_a_stream_is_written_as_the_file_is():
    """Words, marks and capitals of a recording that comes in pieces; what has been written stays."""
    recognizer = Recognizer.load()
    samples = load_audio(ROOT / "tests" / "data" / "1088-134315-0013.opus", recognizer.sample_rate).samples
    updates = list(listen(recognizer, np.array_split(samples, 30), ListenConfig()))
    streamed = " ".join(word.text for update in updates for word in update.committed)
    assert jiwer.wer(recognizer.transcribe(samples).text, streamed) <= 0.15
    assert sum(bool(update.committed) for update in updates[:-1]) > 3, "not all at the end"
    assert updates[-1].partial == ""


def right(text: str) -> float:
    """The share of the sentence's different words that the text has."""
    wanted = set(SENTENCE.split())
    return len(wanted & set(basic(text).split())) / len(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_it_reaches_the_error_rates_of_the_model_card(name):
    manifest = SPEECH / f"{name}.jsonl"
    if not manifest.exists():
        pytest.skip(f"needs the recordings of {manifest.name}, which are not here")
    search = load_decoder(ENGLISH)
    wer = assess(manifest, ENGLISH, None, EvaluateConfig(search=search)).evaluation.words.rate
    assert wer <= SHIPPED[name]["wer"] + 0.005
    assert f"{SHIPPED[name]['wer']:.2%}" in (ROOT / "MODEL_CARD.md").read_text()
