"""asr.cli.info: descriptions of a model file, a manifest and a sound file, and errors for other files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from asr.cli.info import describe
from asr.errors import AsrError


def rows(path):
    """The description as a dict; names and values are columns."""
    return {line[:16].strip(): line[17:] for line in describe(Path(path)).splitlines()}


def test_sound(noise_file):
    path = noise_file("a.flac", 1.5, sample_rate=8000, channels=2)
    assert rows(path) == {
        "sound": f"{path} (FLAC, PCM_16)",
        "duration": "1.500 s (12000 samples)",
        "sample rate": "8000 Hz",
        "channels": "2",
    }


def test_manifest(noise_file, tmp_path):
    noise_file("a.wav")
    lines = [
        {"id": "1", "audio_filepath": "a.wav", "duration": 1.0, "text": "ab ba", "speaker": "x"},
        {"id": "2", "audio_filepath": "b.wav", "duration": 17.0, "text": "b", "speaker": "x", "synthetic": True},
        {"id": "3", "audio_filepath": "c.wav", "duration": 18.0, "text": "é"},
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert rows(path) == {
        "manifest": str(path),
        "utterances": "3",
        "hours": "0.010",
        "seconds": "1.00 to 18.00, median 17.00",
        "speakers": "1",
        "words": "4",
        "characters": " abé",
        "missing": "2 of the recordings",
        "note": "1 utterances are synthetic speech",
    }


def test_manifest_without_speakers(noise_file, tmp_path):
    noise_file("a.wav")
    path = tmp_path / "train.json"
    path.write_text('{"audio_filepath": "a.wav", "duration": 1, "text": "a"}\n')
    described = rows(path)
    assert described["speakers"] == "unknown"
    assert "missing" not in described
    assert "note" not in described


def test_model(model_path):
    described = rows(model_path)
    assert described["model"] == f"{model_path} (0.0 MB)"
    assert int(described["parameters"].replace(",", "")) > 1000
    assert described["layers"] == "1 bilstm, width 16"
    assert described["receptive field"] == "back everything, ahead everything"
    assert described["input"] == "20 mel bands at 16000 Hz, normalised by utterance"
    assert described["output frame"] == "40 ms (subsampling 4)"
    assert described["tokens"] == "9 (characters): ' abcdefgh'"
    assert described["normalizer"] == "basic"
    assert "dev WER" not in described


def test_an_onnx_file_is_the_model_that_it_was_made_from(model_path, tmp_path):
    from asr.model.model_file import export

    export(model_path, tmp_path / "x.onnx")
    described, original = rows(tmp_path / "x.onnx"), rows(model_path)
    assert described.pop("model").startswith(f"{tmp_path / 'x.onnx'} (")
    assert described == {name: value for name, value in original.items() if name not in ("model", "parameters")}


def test_model_lists_its_training_data(model_path, tmp_path):
    from asr.model.model_file import load_model, save_model

    training = {
        "hours": 5.3,
        "utterances": 1519,
        "speakers": 28,
        "synthetic": False,
        "train": ["train.jsonl"],
        "dev": ["dev.jsonl"],
        "dev_wer": 0.4236,
        "dev_cer": 0.17,
        "dev_synthetic": True,
        "epochs": 18,
        "steps": 6000,
        "seconds": 1830,
        "date": "2025-02-03",
        "environment": {"gpu": None, "processor": "A Processor"},
    }
    path = tmp_path / "trained.safetensors"
    save_model(path, replace(load_model(model_path), training=training))
    described = rows(path)
    assert described["trained on"] == "5.3 h of speech, 1519 utterances, 28 speakers (train.jsonl)"
    assert described["training"] == "18 epochs, 6000 steps, 30.5 min on A Processor, 2025-02-03"
    assert described["dev WER"] == ("42.36% (CER 17.00%) on dev.jsonl, synthetic speech")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("no.wav", None, "no such file"),
        ("no.jsonl", None, "no such file"),
        ("no.safetensors", None, "no such model file"),
        ("a.wav", b"hello", "not a sound file"),
        ("notes.txt", b"hello", "not a sound file"),
        ("a.jsonl", b"hello\n", ":1: not JSON"),
        ("a.jsonl", b"", "no utterances in it"),
        ("a.safetensors", b"hello", "cut short, damaged or not a model file"),
    ],
)
def test_files_of_another_kind(tmp_path, name, content, complaint):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AsrError) as error:
        describe(path)
    assert str(error.value).startswith(str(path))
    assert complaint in str(error.value)


def test_folder(tmp_path):
    with pytest.raises(AsrError, match="a folder; give a model file, a manifest or a sound file"):
        describe(tmp_path)
