"""asr.formats: what the files hold, to the letter, and that no two inputs share an output."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asr.formats import WRITERS, output_names, to_json, to_txt
from asr.transcript import Transcript, Word

TRANSCRIPT = Transcript(
    "seven drei",
    (Word("seven", 0.28, 0.64, 0.98), Word("drei", 0.8, 1.12, 0.5)),
    duration=1.5,
    notes=("2 channels mixed to one",),
)
SILENCE = Transcript("", (), duration=0.25)


def test_txt():
    assert to_txt(TRANSCRIPT, "a.wav") == "seven drei\n"
    assert to_txt(SILENCE, "a.wav") == "\n"


def test_json():
    assert to_json(TRANSCRIPT, "talks/a b.wav") == (
        '{"audio_filepath":"talks/a b.wav","text":"seven drei","words":['
        '{"text":"seven","start":0.28,"end":0.64,"confidence":0.98},'
        '{"text":"drei","start":0.8,"end":1.12,"confidence":0.5}],'
        '"duration":1.5,"notes":["2 channels mixed to one"]}\n'
    )
    assert to_json(SILENCE, "-") == '{"audio_filepath":"-","text":"","words":[],"duration":0.25,"notes":[]}\n'


@pytest.mark.parametrize("name", ["größe.wav", "two\nlines.wav", 'a "quoted" \\ name.wav'])
def test_json_is_one_line_whatever_the_name(name):
    line = to_json(SILENCE, name)
    assert line.count("\n") == 1
    assert json.loads(line)["audio_filepath"] == name


def test_json_of_a_name_that_is_not_utf_8():
    line = to_json(SILENCE, os.fsdecode(b"\xff.wav"))
    assert json.loads(line.encode())["audio_filepath"] == "?.wav"


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([], []),
        (["/talks/x.wav"], ["x.txt"]),
        (["/talks/a/x.wav", "/talks/b/x.wav"], ["a/x.txt", "b/x.txt"]),
        (["/talks/x.wav", "/talks/x.flac", "/talks/y.wav"], ["x.wav.txt", "x.flac.txt", "y.txt"]),
        (["/talks/x.wav", "/talks/deep/er/y.wav"], ["x.txt", "deep/er/y.txt"]),
        (["/talks/x.wav", "/talks/x.wav.txt", "/talks/x.flac"], ["x.wav.txt", "x.wav.txt.txt", "x.flac.txt"]),
        (["/talks/x.wav", "/talks/x.wav.wav"], ["x.txt", "x.wav.wav.txt"]),
        (["/talks/x", "/talks/x.wav"], ["x.txt", "x.wav.txt"]),
        (["/talks/X.wav", "/talks/x.wav", "/talks/x.WAV"], ["X.txt", "x.wav.txt", "x.WAV.txt"]),
        (["/talks/.wav", "/talks/v1.2.wav"], [".wav.txt", "v1.2.txt"]),
        (["/x.wav", "/a b/'q'.wav"], ["x.txt", "a b/'q'.txt"]),
    ],
)
def test_output_names(inputs, outputs):
    assert output_names(inputs, "txt") == [Path(name) for name in outputs]


def test_output_names_of_relative_inputs_and_stdin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert output_names(["-", "a/x.wav", "./y.wav"], "json") == [Path("-.json"), Path("a/x.json"), Path("y.json")]
    assert output_names(["../x.wav"], "json") == [Path("x.json")]


stems = st.sampled_from(["x", "X", "x.", ".x", "..x", "-", "x\n", " ", ""])
suffixes = st.sampled_from(["", ".", ".wav", ".WAV", ".flac", ".txt", ".wav.txt", ".wav.wav", ".txt.txt"])
anything = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=6)
names = (st.tuples(stems, suffixes).map("".join) | anything).filter(lambda name: name not in ("", ".", ".."))
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts)) | st.just("-")


@given(st.lists(paths, unique_by=os.path.abspath, max_size=12), st.sampled_from(sorted(WRITERS)))
@example(["/x.wav", "/x.flac", "/x.wav.txt", "/x.wav.wav", "-"], "txt")
@example(["/x", "/x.txt", "/x.txt.txt"], "txt")
def test_output_names_never_collide(inputs, suffix):
    outputs = output_names(inputs, suffix)
    assert len(outputs) == len(inputs)
    assert len(set(outputs)) == len(outputs)
    for name, output in zip(inputs, outputs, strict=True):
        assert not output.is_absolute()
        assert ".." not in output.parts
        assert output.name in (f"{Path(name).stem}.{suffix}", f"{Path(name).name}.{suffix}")
