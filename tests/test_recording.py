"""A human recording (see tests/data/README.md) through the commands that users try first."""

import json
from pathlib import Path

import pytest
import soundfile

DATA = Path(__file__).parent / "data"
SOUND = DATA / "1088-134315-0013.opus"
TEXT = SOUND.with_suffix(".txt")
MANIFEST = DATA / "librispeech.jsonl"

#: Seconds of the pause between "said" and "blackmail", as the waveform shows it.
PAUSE = (4.2, 4.65)

pytestmark = pytest.mark.slow


def test_the_manifest_describes_the_recording():
    line = json.loads(MANIFEST.read_text())
    info = soundfile.info(SOUND)
    assert line["audio_filepath"] == SOUND.name
    assert line["duration"] == pytest.approx(info.duration, abs=0.01)
    assert line["text"] == TEXT.read_text().strip()


def test_transcribe(asr):
    result = asr("transcribe", SOUND, "--format", "json")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    words = record["words"]
    assert len(words) == pytest.approx(len(TEXT.read_text().split()), abs=3)
    assert {"vulgar", "attempt", "obtain", "money"} <= set(record["pred_text"].split())
    assert record["text"][0].isupper() and record["text"].endswith(".")
    assert not [word for word in words if PAUSE[0] < (word["start"] + word["end"]) / 2 < PAUSE[1]]


def test_align(asr):
    result = asr("align", SOUND, TEXT, "--format", "json")
    assert result.returncode == 0, result.stderr
    words = json.loads(result.stdout)["words"]
    assert [word["text"] for word in words] == TEXT.read_text().split()
    starts = [word["start"] for word in words]
    assert starts == sorted(starts) and 0 <= starts[0] < words[-1]["end"] <= 8.61
    said, blackmail = (next(word for word in words if word["text"] == text) for text in ("said", "blackmail"))
    assert said["start"] < PAUSE[0] < blackmail["start"]
    assert blackmail["start"] == pytest.approx(4.7, abs=0.1)


def test_evaluate(asr, tmp_path):
    result = asr("evaluate", MANIFEST, "-o", tmp_path / "report")
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["wer"]["reference"] == len(TEXT.read_text().split())
    assert report["wer"]["rate"] < 0.15
