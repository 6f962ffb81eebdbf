"""Names of files and folders with spaces, quotes, line ends, other scripts and leading dashes, in the commands that
tell of them: each message stays on its line."""

import json
import shlex

import pytest
from command_line import COMPLETE, ERROR, PARTLY, assert_told, files

from asr.evaluation.evaluate_model import _quoted

NAMES = ["two words", 'it\'s "quoted"', "-dash", "two\nlines", "größe", "音声", "هذا", "$HOME;*", "50%", "[bold]"]
FOLDER = "-odd\nfolder"


@pytest.fixture
def corpus(noise_file, tmp_path, monkeypatch):
    """A corpus in a folder of the current one."""
    for name in NAMES:
        noise_file(f"{FOLDER}/{name}.wav", 0.5).with_suffix(".txt").write_text("a b\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / FOLDER


def shown(name):
    return name.replace("\n", "\\n")


def test_prepare_evaluate_and_info(asr, corpus, model_path):
    result = asr("prepare", "folder", "-o", "da\nta", "--", FOLDER)
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    assert len(result.stdout.splitlines()) == 4 and "written: da\\nta/all.jsonl, " in result.stdout
    records = [json.loads(line) for line in (corpus.parent / "da\nta/all.jsonl").read_text().splitlines()]
    assert sorted(record["id"] for record in records) == sorted(NAMES)

    result = asr("evaluate", "da\nta/all.jsonl", "-m", model_path, "-o", "re\nport")
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    assert "report       re\\nport/report.html\n" in result.stdout
    assert f"transcribe $'./{shown(FOLDER)}/{NAMES[7]}.wav' --model" in result.stdout
    assert "manifest         da\\nta/all.jsonl\n" in asr("info", "da\nta/all.jsonl").stdout

    (corpus / "two\nlines.wav").unlink()
    result = asr("evaluate", "da\nta/all.jsonl", "-m", model_path)
    assert_told(result, PARTLY, "two\\nlines: ", f"{shown(FOLDER)}/two\\nlines.wav: no such file")
    assert f"             two\\nlines: da\\nta/../{shown(FOLDER)}/two\\nlines.wav: no such file" in result.stdout
    result = asr("prepare", "folder", "-o", "again", "--", FOLDER)
    assert (result.returncode, result.stderr) == (PARTLY, "") and "rejected: 1," in result.stdout


def test_transcribe_a_folder_and_resume(asr, corpus, model_path):
    arguments = ["transcribe", "-m", model_path, "--output=-out\nput", "--resume", "--", FOLDER]
    result = asr(*arguments)
    assert result.stdout.splitlines() == [f"-out\\nput/{shown(name)}.txt" for name in sorted(NAMES)]
    assert files(corpus.parent / "-out\nput") == sorted(f"{name}.txt" for name in NAMES)
    assert result.stderr.startswith("asr: 10 done, 0 failed: ") and result.stderr.count("\n") == 1
    assert_told(asr(*arguments), COMPLETE, "0 done, 10 skipped, 0 failed")


@pytest.mark.parametrize("name", NAMES)
def test_align(asr, corpus, model_path, name, monkeypatch):
    monkeypatch.chdir(corpus)
    formats = ["txt", "json", "ctm", "srt", "TextGrid"]
    result = asr("align", "-m", model_path, "-o", "out", "--format", *formats, "--", f"{name}.wav", f"{name}.txt")
    assert result.returncode in (COMPLETE, PARTLY)
    assert result.stdout.splitlines() == [f"out/{shown(name)}.{kind}" for kind in formats]
    assert all(line.startswith(f"asr: {shown(name)}.wav: ") for line in result.stderr.splitlines())
    missing = asr("align", "-m", model_path, "--", f"{name}.wav", f"{name}.gone")
    assert_told(missing, ERROR, f"{shown(name)}.gone: No such file")


@pytest.mark.parametrize("name", [name for name in NAMES if "\n" not in name])
def test_commands_to_try_next_can_be_typed(name):
    assert shlex.split(_quoted(name)) == [f"./{name}" if name.startswith("-") else name]
