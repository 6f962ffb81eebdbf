"""asr.recognition.batch: what inputs are found, and that batches give what single recordings give."""

from dataclasses import replace
from pathlib import Path

import pytest

from asr.audio.io import load_audio
from asr.data.manifest import Utterance
from asr.recognition.batch import Failure, expand_inputs, recognize_utterances, transcribe_files


@pytest.fixture(scope="module")
def recognizer(model_path):
    from asr.recognition.recognizer import Recognizer

    return Recognizer.load(model_path, "cpu")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with empty files: only names matter."""
    for name in ("b.wav", "a.wav", "notes.txt", "deep/er/c.flac", "deep/D.WAV", ".hidden.wav", "silent/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_same(transcript, expected):
    """Equal, but for the confidence's last digits: sums are made in another order in a batch."""
    assert [word.confidence for word in transcript.words] == pytest.approx(
        [word.confidence for word in expected.words], rel=1e-4
    )
    plain = [replace(t, words=tuple(replace(word, confidence=0) for word in t.words)) for t in (transcript, expected)]
    assert plain[0] == plain[1]


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        (["b.wav", "a.wav"], ["b.wav", "a.wav"]),
        (["notes.txt"], ["notes.txt"]),  # named by the user: whatever it is, it is tried
        (["."], ["a.wav", "b.wav", "deep/D.WAV", "deep/er/c.flac"]),
        (["deep"], ["deep/D.WAV", "deep/er/c.flac"]),
        (["*.wav"], ["a.wav", "b.wav"]),
        (["**/*.flac"], ["deep/er/c.flac"]),
        (["deep/*"], ["deep/D.WAV"]),  # its folder er is not meant
        (["-", "a.wav", "-"], ["-", "a.wav"]),
        (["b.wav", "./b.wav", "*.wav", "deep/../a.wav"], ["b.wav", "a.wav"]),
    ],
)
def test_expand_inputs(folder, inputs, found):
    assert expand_inputs(inputs) == (found, [])


def test_expand_inputs_by_absolute_path(folder):
    assert expand_inputs([str(folder / "deep"), "deep"])[0] == [str(folder / "deep/D.WAV"), f"{folder}/deep/er/c.flac"]


def test_file_whose_name_looks_like_a_pattern(folder):
    (folder / "a[1].wav").touch()
    assert expand_inputs(["a[1].wav"]) == (["a[1].wav"], [])


def test_expand_inputs_reports_names_without_a_file(folder):
    found, failures = expand_inputs(["no.wav", "silent", "a.wav", "*.mp3", "silent/*", "x" * 300])
    assert found == ["a.wav", "silent/x.txt"]
    assert failures == [
        Failure("no.wav", "no.wav: no such file or folder"),
        Failure("silent", "silent: no sound files in this folder"),
        Failure("*.mp3", "*.mp3: the pattern matches no file"),
        Failure("x" * 300, f"{'x' * 300}: no such file or folder"),
    ]


@pytest.mark.parametrize("batch_seconds", [0.1, 2.0, 1000.0])
def test_batches_give_what_single_files_give_in_order(recognizer, noise_file, batch_seconds):
    seconds = [0.5, 2.5, 0.05, 1.0, 3.0, 0.7]
    names = [str(noise_file(f"{i}.wav", length, seed=i)) for i, length in enumerate(seconds)]
    results = list(transcribe_files(recognizer, names, batch_seconds))
    assert [name for name, _ in results] == names
    assert [transcript.duration for _, transcript in results] == pytest.approx(seconds)
    assert any(transcript.words for _, transcript in results)
    for name, transcript in results:
        assert_same(transcript, recognizer.transcribe(name))


@pytest.mark.parametrize("batch_seconds", [0.1, 1000.0])
def test_failures_stay_in_their_place(recognizer, noise_file, tmp_path, batch_seconds):
    good = [str(noise_file("a.wav")), str(noise_file("b.wav", 0.5))]
    (tmp_path / "empty.wav").touch()
    bad = [str(tmp_path / "empty.wav"), str(tmp_path / "gone.wav")]
    results = list(transcribe_files(recognizer, [bad[0], good[0], bad[1], good[1]], batch_seconds))
    assert results[0] == (bad[0], Failure(bad[0], f"{bad[0]}: the file is empty (0 bytes); record or copy it again"))
    assert results[2] == (bad[1], Failure(bad[1], f"{bad[1]}: no such file; give the path of a sound file"))
    assert [(name, transcript.duration) for name, transcript in results[1::2]] == [(good[0], 1.0), (good[1], 0.5)]


def test_only_failures_and_nothing(recognizer):
    assert [result.name for _, result in transcribe_files(recognizer, ["no.wav", "none.wav"], 10)] == [
        "no.wav",
        "none.wav",
    ]
    assert list(transcribe_files(recognizer, [], 10)) == []


def test_results_come_as_soon_as_they_are_known(recognizer, noise_file):
    names = [str(noise_file(f"{i}.wav")) for i in range(40)]
    results = transcribe_files(recognizer, names, 1.0)
    assert next(results)[1].duration == 1.0
    Path(names[-1]).unlink()
    assert [type(result).__name__ for _, result in results] == ["Transcript"] * 38 + ["Failure"]


def test_notes_report_conversions(recognizer, noise_file):
    name = str(noise_file("a.wav", sample_rate=8000, channels=2))
    assert dict(transcribe_files(recognizer, [name], 10))[name].notes == (
        "2 channels mixed to one",
        "resampled from 8000 Hz to 16000 Hz",
    )


def test_utterances_of_a_manifest(recognizer, noise_file, tmp_path):
    path = noise_file("talk.wav", 4.0)
    whole = Utterance("whole", path, 4.0, "a")
    part = Utterance("part", path, 1.0, "a", offset=2.0)
    gone = Utterance("gone", tmp_path / "gone.wav", 9.0, "a")
    outside = Utterance("outside", path, 3.0, "a", offset=2.0)
    recognition = recognize_utterances(recognizer, [part, gone, whole, outside], 8.0)
    assert [utterance for utterance, _ in recognition.pairs] == [part, whole]
    expected = recognizer.recognize([load_audio(path, offset=2.0, duration=1.0).samples, load_audio(path).samples])
    for (_, transcript), single in zip(recognition.pairs, expected, strict=True):
        assert_same(transcript, single)
    assert [id for id, _ in recognition.failures] == ["gone", "outside"]
    assert "gone.wav: no such file" in recognition.failures[0][1]
    assert "no part from 2.00 s to 5.00 s" in recognition.failures[1][1]
    assert recognition.compute_seconds > 0
