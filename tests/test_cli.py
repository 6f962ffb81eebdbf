"""The `asr` command as a user meets it: help, output, files and exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import COMPLETE, ERROR, PARTLY, assert_told, files, summarised


def process(*arguments, **options) -> subprocess.CompletedProcess:
    """Run a command line as its own process."""
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "", "PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-m", "asr", *map(str, arguments)]
    return subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=120, **options)


def words(text):
    """Help without its frames and line breaks."""
    return " ".join(text.translate(dict.fromkeys(map(ord, "│╭╮╰╯─"), " ")).split())


@pytest.fixture
def corpus(noise_file, tmp_path):
    """A corpus in the `folder` layout."""
    for speaker in ("anna", "ben"):
        noise_file(f"corpus/{speaker}/one.wav").with_suffix(".txt").write_text("a b\n")
    return tmp_path / "corpus"


# Help


@pytest.mark.parametrize(
    ("command", "option", "default"),
    [
        ("prepare", "--max_seconds FLOAT", "35.0"),
        ("prepare", "-o DIR, --output DIR", None),
        ("prepare", "--split.dev FLOAT", "0.0"),
        ("train", "--model.width INT", "256"),
        ("train", "--features.hop_seconds FLOAT", "0.01"),
        ("train", "--model.subsampling {1,2,3,4,6,8}", "4"),
        ("transcribe", "-m MODEL, --model MODEL", None),
        ("transcribe", "--batch_seconds FLOAT", "120.0"),
        ("evaluate", "--pictures INT", "4"),
        ("evaluate", "--device {auto,cpu,cuda,mps}", "auto"),
    ],
)
def test_help_names_options_with_their_defaults(asr, command, option, default):
    result = asr(command, "--help")
    assert result.returncode == COMPLETE
    shown = words(result.stdout)
    assert option in shown
    if default is not None:
        assert f"(default: {default})" in shown[shown.index(option) :].partition(" --")[0]


@pytest.mark.parametrize(("command", "argument"), [("transcribe", "INPUT"), ("evaluate", "MANIFEST"), ("info", "FILE")])
def test_help_names_the_arguments(asr, command, argument):
    assert argument in asr(command, "--help").stdout


def test_help_of_train_shows_the_values_of_the_recipe(asr, tmp_path):
    (tmp_path / "mine.toml").write_text("[model]\nwidth = 77\n")
    shown = words(asr("train", tmp_path / "mine.toml", "--help").stdout)
    assert "(default: 77)" in shown[shown.index("--model.width INT") :].partition(" --")[0]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["fly"], "fly"),
        ([], "prepare"),
        (["tune", "a.jsonl"], "--model"),
        (["transcribe", "a.wav", "-m", "m", "--formt", "txt"], "--formt"),
        (["transcribe", "a.wav", "-m", "m", "--format", "doc"], "'json', 'jsonl', 'srt'"),
        (["evaluate", "a.jsonl", "-m", "m", "--pictures", "many"], "--pictures"),
        (["info"], "FILE"),
    ],
)
def test_wrong_usage(asr, arguments, named):
    result = asr(*arguments)
    assert result.returncode == ERROR
    assert named in words(result.stderr)
    assert result.stdout == ""


# Transcribe


def test_one_file_prints_its_words_only(asr, model_path, noise_file):
    from asr.recognition.recognizer import Recognizer

    path = noise_file("a.wav")
    result = asr("transcribe", path, "--model", model_path)
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    assert result.stdout == Recognizer.load(model_path).transcribe(path).text + "\n"
    assert result.stdout.strip()


def test_several_files_are_labelled_and_in_order(asr, model_path, noise_file, tmp_path):
    for name in ("a.wav", "b.wav", "deep/c.wav"):
        noise_file(name)
    result = asr("transcribe", tmp_path / "b.wav", tmp_path / "a.wav", tmp_path / "deep", "-m", model_path)
    assert result.returncode == COMPLETE
    names = [line.partition(": ")[0] for line in result.stdout.splitlines()]
    assert names == [str(tmp_path / name) for name in ("b.wav", "a.wav", "deep/c.wav")]


def test_jsonl_on_stdout_is_one_object_per_line(asr, model_path, noise_file):
    paths = [noise_file("a.wav"), noise_file("b.flac", 0.5)]
    result = asr("transcribe", *paths, "-m", model_path, "--format", "jsonl")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(record["audio_filepath"], record["duration"]) for record in records] == [
        (str(paths[0]), 1.0),
        (str(paths[1]), 0.5),
    ]
    for word in records[0]["words"]:
        assert 0 <= word["start"] < word["end"] <= 1.0
        assert 0 < word["confidence"] <= 1
    assert " ".join(word["text"] for word in records[0]["words"]) == records[0]["text"] != ""


@pytest.mark.parametrize("format", ["txt", "tsv"])
def test_output_folder_has_one_file_per_input(asr, model_path, noise_file, tmp_path, format):
    for name in ("in/monday/talk.wav", "in/friday/talk.wav", "in/talk.wav", "in/talk.flac"):
        noise_file(name, 0.3)
    result = asr("transcribe", tmp_path / "in", "-m", model_path, "-o", tmp_path / "out/deep", "--format", format)
    result = summarised(result, "4 done, 0 failed: 1.2 s of audio in ")
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    expected = [f"friday/talk.{format}", f"monday/talk.{format}", f"talk.flac.{format}", f"talk.wav.{format}"]
    assert files(tmp_path / "out/deep") == expected
    assert sorted(result.stdout.splitlines()) == [str(tmp_path / "out/deep" / name) for name in expected]
    written = (tmp_path / f"out/deep/monday/talk.{format}").read_text()
    printed = asr("transcribe", tmp_path / "in/monday/talk.wav", "-m", model_path, "--format", format).stdout
    assert written == printed


def test_standard_input(asr, model_path, noise_file, monkeypatch):
    path = noise_file("a.wav")
    expected = asr("transcribe", path, "-m", model_path).stdout
    with path.open("rb") as stream:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
        assert asr("transcribe", "-", "-m", model_path).stdout == expected


def test_standard_input_into_a_folder(asr, model_path, noise_file, tmp_path, monkeypatch):
    with noise_file("a.wav").open("rb") as stream:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
        asr("transcribe", "-", "-m", model_path, "-o", tmp_path / "out", "--format", "srt", "txt")
    assert files(tmp_path / "out") == ["stdin.srt", "stdin.txt"]


def test_conversions_are_noted_on_stderr(asr, model_path, noise_file):
    path = noise_file("a.wav", sample_rate=8000, channels=2)
    result = asr("transcribe", path, "-m", model_path)
    assert result.returncode == COMPLETE
    assert result.stderr.splitlines() == [
        f"asr: {path}: 2 channels mixed to one",
        f"asr: {path}: resampled from 8000 Hz to 16000 Hz",
    ]


@pytest.mark.slow
def test_as_a_process_with_a_pipe_and_a_missing_file(model_path, noise_file, tmp_path):
    path = noise_file("a.wav")
    with path.open("rb") as stream:
        arguments = ("transcribe", "-", tmp_path / "gone.wav", path, "-m", model_path)
        result = process(*arguments, stdin=stream, stdout=subprocess.PIPE)
    assert_told(summarised(result, "2 done, 1 failed"), PARTLY, tmp_path / "gone.wav")
    from_pipe, from_file = result.stdout.splitlines()
    assert from_pipe.partition(": ")[0] == "-"
    assert from_file.partition(": ")[0] == str(path)
    assert from_pipe.partition(": ")[2] == from_file.partition(": ")[2] != ""


ODD_NAMES = [
    "two words.wav",
    'it\'s "quoted".wav',
    "-dash.wav",
    "two\nlines.wav",
    "größe.wav",
    "音声.wav",
    "هذا صوت.wav",
    "$HOME;*.wav",
]


def test_odd_names(asr, model_path, noise_file, tmp_path, monkeypatch):
    for name in ODD_NAMES:
        noise_file(name, 0.3)
    monkeypatch.chdir(tmp_path)
    result = summarised(asr("transcribe", "-m", model_path, "--", *ODD_NAMES), f"{len(ODD_NAMES)} done, 0 failed")
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    shown = [name.replace("\n", "\\n") for name in ODD_NAMES]
    assert [line.partition(": ")[0] for line in result.stdout.splitlines()] == shown
    result = asr("transcribe", "-m", model_path, "-o", "out", "--", *ODD_NAMES)
    assert files(tmp_path / "out") == sorted(name.replace(".wav", ".txt") for name in ODD_NAMES)
    assert len(result.stdout.splitlines()) == len(ODD_NAMES)


def test_odd_names_that_are_missing(asr, model_path, noise_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = asr("transcribe", "-m", model_path, "--", "-gone.wav", "two\nlines.wav", noise_file("a.wav", 0.3))
    assert result.returncode == PARTLY
    assert summarised(result, "1 done, 2 failed").stderr.splitlines() == [
        "asr: -gone.wav: no such file or folder",
        "asr: two\\nlines.wav: no such file or folder",
    ]
    assert_told(asr("info", "two\nlines.wav"), ERROR, "two\\nlines.wav")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only there file names may be any bytes")
def test_name_that_is_not_utf_8(asr, model_path, noise_file, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    noise_file("a.wav", 0.3).rename(path)
    noise_file("z.wav", 0.3)
    for format in ("txt", "jsonl"):
        result = summarised(asr("transcribe", tmp_path, "-m", model_path, "--format", format), "2 done, 0 failed")
        assert (result.returncode, result.stderr, len(result.stdout.splitlines())) == (COMPLETE, "", 2)
        asr("transcribe", tmp_path, "-m", model_path, "--format", format, "-o", tmp_path / format)
        assert files(tmp_path / format) == [os.fsdecode(b"caf\xe9.") + format, f"z.{format}"]
    assert process("info", path, stdout=subprocess.PIPE).returncode == COMPLETE


# Evaluate, prepare, info


def test_evaluate_writes_the_report(asr, model_path, noise_file, manifest, tmp_path):
    path = manifest(("one", noise_file("a.wav")), ("two", noise_file("b.wav", seed=1)))
    result = asr("evaluate", path, "-m", model_path, "-o", tmp_path / "report", "--pictures", 1)
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    assert files(tmp_path / "report") == ["report.html", "report.json", "report.md"]
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert (report["complete"], report["manifests"], report["model"]) == (True, ["test.jsonl"], "model.safetensors")
    assert [utterance["id"] for utterance in report["utterances"]] == ["one", "two"]
    assert report["wer"]["reference"] == 4
    printed = dict(line.split(None, 1) for line in result.stdout.splitlines() if line[:1].strip() and " " in line)
    assert printed["WER"].startswith(f"{report['wer']['rate']:.2%}")
    assert printed["errors"].endswith("in 4 reference words")
    assert "data:image/png;base64," in (tmp_path / "report/report.html").read_text()


def test_evaluate_without_a_missing_recording(asr, model_path, noise_file, manifest, tmp_path):
    path = manifest(("here", noise_file("a.wav")), ("lost", tmp_path / "gone.wav"), ("too", noise_file("b.wav")))
    result = asr("evaluate", path, "-m", model_path, "-o", tmp_path / "report")
    assert_told(result, PARTLY, "lost: ", tmp_path / "gone.wav")
    assert "incomplete: 1 of 3 utterances were not recognised" in result.stdout
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert not report["complete"]
    assert [utterance["id"] for utterance in report["utterances"]] == ["here", "too"]
    assert [failure["id"] for failure in report["failures"]] == ["lost"]


def test_evaluate_without_any_recording(asr, model_path, manifest, tmp_path):
    result = asr("evaluate", manifest(("lost", tmp_path / "gone.wav")), "-m", model_path, "-o", tmp_path / "report")
    assert_told(result, PARTLY, tmp_path / "gone.wav")
    assert "WER          n/a" in result.stdout


def test_prepare_then_evaluate_then_info(asr, model_path, corpus, tmp_path):
    result = asr("prepare", "folder", corpus, "-o", tmp_path / "data")
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    assert files(tmp_path / "data") == ["all.jsonl", "rejects.jsonl", "summary.json"]
    assert "rejected: 0" in result.stdout
    assert asr("evaluate", tmp_path / "data/all.jsonl", "-m", model_path).returncode == COMPLETE
    shown = asr("info", tmp_path / "data/all.jsonl").stdout.splitlines()
    assert "utterances       2" in shown
    assert "speakers         2" in shown


def test_prepare_with_rejects(asr, corpus, tmp_path):
    (corpus / "ben/one.wav").write_bytes(b"")
    result = asr("prepare", "folder", corpus, "-o", tmp_path / "data")
    assert result.returncode == PARTLY
    assert "rejected: 1, see rejects.jsonl: missing or unreadable audio (1)" in result.stdout
    assert asr("prepare", "folder", corpus, "-o", tmp_path / "data", "--max_rejects", 1).returncode == COMPLETE


def test_info_of_a_model_and_a_sound(asr, model_path, noise_file):
    assert "output frame     40 ms (subsampling 4)" in asr("info", model_path).stdout.splitlines()
    assert "duration         0.500 s (8000 samples)" in asr("info", noise_file("a.wav", 0.5)).stdout.splitlines()


# Output that cannot be written


@pytest.fixture(params=["transcribe", "evaluate", "prepare"])
def writing(request, model_path, noise_file, manifest, corpus):
    """The arguments of each command that writes a folder, but for the folder."""
    sound = noise_file("a.wav")
    return {
        "transcribe": ["transcribe", sound, "-m", model_path],
        "evaluate": ["evaluate", manifest(("a", sound)), "-m", model_path],
        "prepare": ["prepare", "folder", corpus],
    }[request.param]


def test_file_in_place_of_the_output_folder_is_an_error_before_the_work(asr, writing, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "asr.recognition.recognizer.Recognizer.recognize", lambda *_: pytest.fail("the work was done in vain")
    )
    plain = tmp_path / "plain"
    plain.write_text("mine")
    assert_told(asr(*writing, "-o", plain), ERROR, plain)
    assert_told(asr(*writing, "-o", plain / "below"), ERROR, plain)
    assert plain.read_text() == "mine"


def test_full_disk(asr, writing, tmp_path, full_disk):
    with full_disk(1):
        assert_told(asr(*writing, "-o", tmp_path / "out"), ERROR, tmp_path / "out", "File too large")
    assert list((tmp_path / "out").rglob("*")) == []


def test_full_disk_keeps_what_was_there(asr, writing, tmp_path, full_disk):
    asr(*writing, "-o", tmp_path / "out")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}
    assert before
    with full_disk(1):
        assert asr(*writing, "-o", tmp_path / "out").returncode == ERROR
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")} == before


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
def test_full_standard_output(noise_file):
    with open("/dev/full", "w") as full:
        assert_told(process("info", noise_file("a.wav"), stdout=full), ERROR, "output: No space left on device")


@pytest.mark.slow
def test_closed_pipe(noise_file):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as gone:
        result = process("info", noise_file("a.wav"), stdout=gone)
    assert (result.returncode, result.stderr) == (1, "")


def test_interrupted(asr, noise_file, monkeypatch):
    def stop(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("asr.cli.info.describe", stop)
    assert_told(asr("info", noise_file("a.wav")), 130, "interrupted")
