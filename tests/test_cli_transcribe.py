"""`asr transcribe` over many files: what is written, what a resumed run skips, and the summary."""

import os
import shutil
import time
from pathlib import Path

import pytest
from command_line import COMPLETE, ERROR, PARTLY, assert_told, files, summarised

from asr.cli import transcribe as job
from asr.output.resume_ledger import NAME
from asr.recognition.batch import Failure
from asr.recognition.config import TranscribeConfig
from asr.transcript import Transcript


@pytest.fixture
def model(tmp_path, model_path):
    """The shared model file in a folder of its own, where it can change."""
    return Path(shutil.copy(model_path, tmp_path / "own.safetensors"))


@pytest.fixture
def transcribe(asr, model, noise_file, tmp_path):
    """`asr transcribe` of the folder `in`, which begins with three recordings, into `out`: what it wrote."""
    for seed, name in enumerate(("a", "b", "c")):
        noise_file(f"in/{name}.wav", 0.5, seed=seed)

    def run(*options, sounds="in", status=COMPLETE):
        result = asr("transcribe", tmp_path / sounds, "-m", model, "-o", tmp_path / "out", *options)
        assert result.returncode == status
        return [Path(line).relative_to(tmp_path / "out").as_posix() for line in result.stdout.splitlines()]

    return run


ALL = ["a.txt", "b.txt", "c.txt"]


def test_resume_does_what_is_missing_and_nothing_else(transcribe, noise_file, tmp_path, asr, model):
    assert transcribe("--resume") == ALL
    written = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in ALL}
    assert transcribe("--resume") == []
    (tmp_path / "out/b.txt").unlink()
    noise_file("in/d.wav", 0.5)
    result = asr("transcribe", tmp_path / "in", "-m", model, "-o", tmp_path / "out", "--resume")
    assert result.stdout.splitlines() == [str(tmp_path / "out" / name) for name in ("b.txt", "d.txt")]
    assert summarised(result, "2 done, 2 skipped, 0 failed: 1.0 s of audio in ").stderr == ""
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in ("a.txt", "c.txt")} == {
        name: written[name] for name in ("a.txt", "c.txt")
    }
    assert transcribe() == [*ALL, "d.txt"], "without --resume everything is done"


@pytest.mark.parametrize(
    ("options", "redone"),
    [
        (["--format", "txt"], []),
        (["--format", "json"], []),
        (["--format", "json", "txt"], []),
        (["--format", "txt", "srt"], ["a.txt", "a.srt", "b.txt", "b.srt", "c.txt", "c.srt"]),
        (["--format", "txt", "--hotword_boost", "6"], ALL),
        (["--format", "txt", "--batch_seconds", "5"], []),  # the transcripts are the same
    ],
)
def test_other_formats_and_settings_are_not_done(transcribe, options, redone):
    transcribe("--format", "txt", "json")
    assert transcribe("--resume", *options) == redone


def test_what_was_made_from_another_recording_or_model_is_not_done(transcribe, noise_file, model, tmp_path):
    transcribe()
    noise_file("in/b.wav", 0.7)
    assert transcribe("--resume") == ["b.txt"]
    os.utime(model, (1, 1))
    assert transcribe("--resume") == ALL


def test_a_recording_of_the_same_name_is_not_done(transcribe, noise_file):
    transcribe()
    noise_file("elsewhere/b.wav", 0.5)
    assert transcribe("--resume", sounds="elsewhere") == ["b.txt"]
    assert transcribe("--resume") == ["b.txt"], "as now that is the other one's"


def test_a_transcript_that_was_corrected_stays(transcribe, tmp_path):
    transcribe()
    (tmp_path / "out/b.txt").write_text("corrected by hand\n")
    assert transcribe("--resume") == []
    assert (tmp_path / "out/b.txt").read_text() == "corrected by hand\n"


def test_a_failure_is_tried_again(transcribe, tmp_path):
    whole = (tmp_path / "in/b.wav").read_bytes()
    (tmp_path / "in/b.wav").write_bytes(whole[:1000])
    assert transcribe(status=PARTLY) == ["a.txt", "c.txt"]
    assert transcribe("--resume", status=PARTLY) == []
    (tmp_path / "in/b.wav").write_bytes(whole)
    assert transcribe("--resume") == ["b.txt"]


@pytest.mark.parametrize("before", [False, True], ids=["first run", "run over an old one"])
def test_an_input_with_half_of_its_formats_is_not_done(asr, transcribe, model, tmp_path, monkeypatch, before):
    formats = ["--format", "txt", "json", "srt"]
    if before:
        transcribe(*formats)
    replaced, replace = [], os.replace

    def interrupt(source, target):
        if len(replaced) == 1:
            raise KeyboardInterrupt
        replaced.append(target)
        replace(source, target)

    with monkeypatch.context() as context:
        context.setattr(os, "replace", interrupt)
        arguments = ["transcribe", tmp_path / "in/a.wav", "-m", model, "-o", tmp_path / "out", *formats]
        assert asr(*arguments).returncode == 130
    assert len(replaced) == 1
    assert transcribe(*formats, "--resume")[:3] == ["a.txt", "a.json", "a.srt"]
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("damage", [b'\n{"file": "a.txt", "reco', b"\n[1]\n\xff\xfe\n", b"\n" * 3])
def test_a_damaged_ledger_costs_no_more_than_its_damaged_lines(transcribe, tmp_path, damage):
    transcribe()
    ledger = tmp_path / "out" / NAME
    ledger.write_bytes(ledger.read_bytes() + damage)
    assert transcribe("--resume") == []
    (tmp_path / "out/a.txt").unlink()
    assert transcribe("--resume") == ["a.txt"]
    assert transcribe("--resume") == []
    ledger.unlink()
    assert transcribe("--resume") == ALL


def test_resume_needs_an_output_folder(asr, model, noise_file):
    assert_told(asr("transcribe", noise_file("a.wav"), "-m", model, "--resume"), ERROR, "--resume", "-o DIR")


def test_summary_names_each_failure(asr, model, noise_file, tmp_path):
    (tmp_path / "empty.wav").touch()
    sounds = [noise_file("a.wav", 0.5), tmp_path / "empty.wav", tmp_path / "gone.wav", noise_file("b.wav", 1.5)]
    result = asr("transcribe", *sounds, "-m", model)
    assert result.returncode == PARTLY
    told = summarised(result, "2 done, 2 failed: 2.0 s of audio in ").stderr.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in told] == [str(sounds[2]), str(sounds[1])]
    assert "RTF 0." in result.stderr.splitlines()[-1]
    assert summarised(asr("transcribe", *sounds[1:3], "-m", model), "0 done, 2 failed\n").returncode == PARTLY


def test_files_are_written_while_others_are_recognised(tmp_path, model, noise_file, monkeypatch):
    noise_file("a.wav"), noise_file("b.wav"), noise_file("c.wav")
    out, seen = tmp_path / "out", []

    def slowly(recognizer, names, *_):
        for name in names:
            yield name, Failure(name, "bad") if name.endswith("b.wav") else Transcript("words", (), 1.0)
            deadline = time.monotonic() + 20
            while not name.endswith("b.wav") and not (out / f"{Path(name).stem}.txt").exists():
                assert time.monotonic() < deadline, f"{name} waits for the others"
                time.sleep(0.01)
            seen.append(files(out))

    monkeypatch.setattr(job, "transcribe_files", slowly)
    job.transcribe([str(tmp_path)], model, out, TranscribeConfig())
    assert seen == [["a.txt"], ["a.txt"], ["a.txt", "c.txt"]]
