"""The `asr` command as a user meets it: output, files, exit status, and errors for bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.numpy
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


# Bad input: one line that names the file, a status that is not 0, nothing half-written, the rest done


def missing(path):
    pass


def text(path):
    path.write_text("This is not sound.\n" * 100)


def nothing(path):
    path.write_bytes(b"")


def folder(path):
    path.mkdir()
    (path / "readme.txt").write_text("no sound here")


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (missing, "no such file"),
        (text, "not a sound file"),
        (nothing, "the file is empty"),
        (folder, "no sound files in this folder"),
        (cut, "cut short, 50% of the samples are there"),
    ],
)
def test_bad_recording_among_good_ones(asr, model_path, noise_file, tmp_path, spoil, reason):
    bad = noise_file("bad.wav")
    if spoil is not cut:
        bad.unlink()
    spoil(bad)
    good = [noise_file("a.wav", 0.3), noise_file("z.wav", 0.3)]
    result = asr("transcribe", good[0], bad, good[1], "-m", model_path, "-o", tmp_path / "out")
    assert_told(summarised(result, "2 done, 1 failed"), PARTLY, bad, reason)
    assert files(tmp_path / "out") == ["a.txt", "z.txt"]
    if not bad.is_dir():
        assert_told(asr("info", bad), ERROR, bad, reason)


def test_failures_are_reported_even_if_the_output_fails(asr, model_path, noise_file, tmp_path, full_disk):
    names = [tmp_path / "gone.wav", noise_file("a.wav")]
    with full_disk(1):
        result = asr("transcribe", *names, "-m", model_path, "-o", tmp_path / "out")
    assert result.returncode == ERROR
    gone, full = result.stderr.splitlines()
    assert str(tmp_path / "gone.wav") in gone
    assert str(tmp_path / "out/a.txt") in full


def test_transcribe_nothing(asr, model_path):
    assert_told(asr("transcribe", "-m", model_path), ERROR, "no INPUT")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"id": "a", "audio_filepath": "a.wav", "duration": 1, "text": "a"}\n{"id":\n', ":2: not JSON"),
        (b'{"id": "a", "audio_filepath": "a.wav", "duration": 1, "text": "a"}\n' * 2, ":2: duplicate id 'a'"),
        (b'{"id": "a", "audio_filepath": "a.wav", "text": "a"}\n', ":1: 'duration' is missing"),
        (b"", "no utterances in it"),
        (None, "no such file"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "info", "train"])
def test_bad_manifest(asr, model_path, noise_file, tmp_path, command, content, reason):
    path = noise_file("a.wav").with_name("test.jsonl")
    if content is not None:
        path.write_bytes(content)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[data]\ntrain = ["test.jsonl"]\ndev = ["test.jsonl"]\n')
    arguments = {"evaluate": [path, "-m", model_path, "-o", tmp_path / "report"], "info": [path], "train": [recipe]}
    assert_told(asr(command, *arguments[command]), ERROR, path, reason)
    assert not (tmp_path / "report").exists()


def test_train_refuses_a_manifest_with_a_missing_recording(asr, noise_file, manifest, tmp_path):
    path = manifest(("here", noise_file("a.wav")), ("lost", "gone.wav"))
    (tmp_path / "recipe.toml").write_text('[data]\ntrain = ["test.jsonl"]\ndev = ["test.jsonl"]\n')
    assert_told(asr("train", tmp_path / "recipe.toml"), ERROR, f"{path}:2: no such recording", tmp_path / "gone.wav")


@pytest.mark.parametrize(
    ("content", "overrides", "reason"),
    [
        ("[model]\nwidht = 3\n", [], "unknown key 'model.widht'; did you mean 'model.width'?"),
        ('[model]\nwidth = "wide"\n', [], "model.width: Expected `int`, got `str`"),
        ("[model]\nwidth = -3\n", [], "model.width: Expected `int` >= 1"),
        ("[model]\nwidth = 3\n", ["--model.width", "-3"], "model.width: Expected `int` >= 1"),
        ("[model\n", [], "not valid TOML"),
        ('"two\\nlines" = 1\n', [], "unknown key 'two\\nlines'"),
    ],
)
def test_bad_recipe(asr, tmp_path, content, overrides, reason):
    path = tmp_path / "recipe.toml"
    path.write_text(content)
    assert_told(asr("train", path, *overrides), ERROR, path, reason)
    assert files(tmp_path) == ["recipe.toml"]


def test_recipe_that_is_missing_or_not_one_by_name(asr, tmp_path):
    assert_told(asr("train", tmp_path / "none.toml"), ERROR, tmp_path / "none.toml", "No such file")
    (tmp_path / "recipe.txt").write_text("[model]\nwidth = 3\n")
    assert_told(asr("train", tmp_path / "recipe.txt"), ERROR, tmp_path / "recipe.txt", ".toml")


def test_option_out_of_range(asr, model_path, noise_file):
    result = asr("transcribe", noise_file("a.wav"), "-m", model_path, "--batch_seconds", "-1")
    assert_told(result, ERROR, "batch_seconds: Expected `float` > 0.0")


def other_tensors(path, model):
    safetensors.numpy.save_file({"x": np.zeros(3)}, path)


def newer_version(path, model):
    with safetensors.safe_open(model, "numpy") as file:
        metadata = {"asr": json.dumps({**json.loads(file.metadata()["asr"]), "format_version": 99})}
        safetensors.numpy.save_file({name: file.get_tensor(name) for name in file.keys()}, path, metadata)  # noqa: SIM118


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path, model: None, "no such model file"),
        (lambda path, model: path.write_bytes(b""), "cut short, damaged"),
        (lambda path, model: path.write_bytes(model.read_bytes()[:-1]), "cut short, damaged"),
        (lambda path, model: path.write_bytes(model.read_bytes()[:100]), "cut short, damaged"),
        (lambda path, model: path.write_bytes(bytes(range(256)) * 9), "damaged or not a model file"),
        (other_tensors, "not a model file of this program"),
        (newer_version, "format version 99 is newer than this program knows"),
    ],
    ids=["missing", "empty", "cut by a byte", "cut to its head", "random bytes", "other tensors", "newer"],
)
def test_bad_model(asr, model_path, noise_file, manifest, tmp_path, make, reason):
    bad, sound = tmp_path / "bad.safetensors", noise_file("a.wav")
    make(bad, model_path)
    assert_told(asr("info", bad), ERROR, bad, reason)
    assert_told(asr("transcribe", sound, "-m", bad, "-o", tmp_path / "out"), ERROR, bad, reason)
    assert_told(asr("evaluate", manifest(("a", sound)), "-m", bad, "-o", tmp_path / "out"), ERROR, bad, reason)
    assert not (tmp_path / "out").exists()


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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
def test_full_standard_output(noise_file):
    with open("/dev/full", "w") as full:
        assert_told(process("info", noise_file("a.wav"), stdout=full), ERROR, "output: No space left on device")


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
