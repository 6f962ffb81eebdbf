"""Output formats: exact contents, contents as independent parsers read them, and one output per input."""

import csv
import html
import io
import json
import os
import re
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
import srt
import textgrid
import webvtt
from command_line import COMPLETE, ERROR, assert_told, summarised
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asr.output.formats import STACKABLE, WRITERS, Document, output_names
from asr.output.subtitles import GAP, LINE_COLUMNS, LONGEST, READING_SPEED, make_subtitles, reading_seconds
from asr.transcript import Alternative, Transcript, Word

TRANSCRIPT = Transcript(
    "seven drei",
    (Word("seven", 0.28, 0.64, 0.98), Word("drei", 0.8, 1.12, 0.5)),
    duration=1.5,
    notes=("2 channels mixed to one",),
)
SILENCE = Transcript("", (), duration=0.25)


def written(kind, transcript=TRANSCRIPT, name="talk", source="talks/talk.wav"):
    return WRITERS[kind](Document(name, source, transcript, "m.safetensors", {"decoder": "greedy"}))


GOLDEN = {
    "txt": "seven drei\n",
    "jsonl": (
        '{"id":"talk","audio_filepath":"talks/talk.wav","duration":1.5,"text":"seven drei","words":['
        '{"text":"seven","start":0.28,"end":0.64,"confidence":0.98},'
        '{"text":"drei","start":0.8,"end":1.12,"confidence":0.5}]}\n'
    ),
    "srt": "1\n00:00:00,280 --> 00:00:01,280\nseven drei\n\n",
    "vtt": "WEBVTT\n\n00:00:00.280 --> 00:00:01.280\nseven drei\n",
    "ctm": "talk 1 0.280 0.360 seven 0.9800\ntalk 1 0.800 0.320 drei 0.5000\n",
    "tsv": "start\tend\tconfidence\tword\n0.280\t0.640\t0.9800\tseven\n0.800\t1.120\t0.5000\tdrei\n",
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_golden_text(kind):
    assert written(kind) == GOLDEN[kind]


def test_json_has_all_that_is_known():
    assert json.loads(written("json")) == {
        **json.loads(GOLDEN["jsonl"]),
        "notes": ["2 channels mixed to one"],
        "segments": [{"start": 0.28, "end": 1.12, "text": "seven drei", "confidence": pytest.approx(0.49)}],
        "model": "m.safetensors",
        "settings": {"decoder": "greedy"},
    }
    others = tuple(Alternative(text, -1.0, -0.75, -0.25) for text in ("seven drei", "seven three"))
    record = json.loads(written("json", Transcript("seven drei", (), 1.5, alternatives=others)))
    assert record["alternatives"][1] == {"text": "seven three", "score": -1.0, "acoustic": -0.75, "lm": -0.25}


def test_words_with_spaces_are_one_column_in_ctm():
    words = ("well —", "10 000", "— yes", "… …")
    spoken = tuple(Word(text, float(i), i + 0.5, 0.5) for i, text in enumerate(words))
    lines = written("ctm", Transcript(" ".join(words), spoken, 4.0)).splitlines()
    assert [line.split()[4:] for line in lines] == [
        ["well", "0.5000"],
        ["10_000", "0.5000"],
        ["yes", "0.5000"],
        ["…_…", "0.5000"],
    ]


def test_srt_has_no_tags():
    transcript = Transcript(
        "a <b> c", tuple(Word(text, i, i + 0.5, 1.0) for i, text in enumerate(("a", "<b>", "c"))), 3.0
    )
    (cue,) = srt.parse(written("srt", transcript))
    assert not re.search(r"< *[a-z/]", cue.content)
    assert cue.content.replace("\u2060", "") == "a <b> c"


def test_silence():
    expected = {"txt": "\n", "srt": "", "vtt": "WEBVTT\n", "ctm": "", "tsv": "start\tend\tconfidence\tword\n"}
    assert {kind: written(kind, SILENCE) for kind in expected} == expected
    assert json.loads(written("json", SILENCE))["segments"] == []
    (tier,) = read_textgrid(written("TextGrid", SILENCE))
    assert [(interval.mark, interval.maxTime) for interval in tier] == [("", 0.25)]


@pytest.mark.parametrize("name", ["größe.wav", "two\nlines.wav", 'a "quoted" \\ name.wav'])
def test_one_line_for_any_name(name):
    line = written("jsonl", name=name, source=name)
    assert line.count("\n") == 1
    assert json.loads(line)["audio_filepath"] == json.loads(line)["id"] == name
    assert [len(line.split()) for line in written("ctm", name=name).splitlines()] == [6, 6]


def test_a_name_that_is_not_utf_8():
    name = os.fsdecode(b"\xff.wav")
    for kind in WRITERS:
        assert written(kind, name=name, source=name).encode()
    assert json.loads(written("json", source=name))["audio_filepath"] == "?.wav"


# What other programs read


def read_textgrid(text):
    with tempfile.NamedTemporaryFile("w", suffix=".TextGrid", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return textgrid.TextGrid.fromFile(file.name)


letters = st.sampled_from("abcdefghij'-éß我们&<>\"\\")
words = st.text(letters, min_size=1, max_size=14) | st.sampled_from(["a" * 60, "我" * 50])
gaps = st.sampled_from([0.0, 0.0, 0.01, 0.02, 0.08, 0.3, 0.7, 1.5, 9.0])
lengths = st.sampled_from([0.01, 0.04, 0.1, 0.3, 0.6, 1.2, 8.0])


@st.composite
def transcripts(draw):
    """Words with times as a recogniser gives them: in order, in thousandths of a second."""
    rows, at, found = draw(st.lists(st.tuples(gaps, words, lengths), max_size=60)), 0.0, []
    for gap, text, length in rows:
        start, at = round(at + gap, 3), round(at + gap + length, 3)
        found.append(Word(text, start, at, 0.5))
    separator = draw(st.sampled_from([" ", ""]))
    return Transcript(separator.join(word.text for word in found), tuple(found), at + 0.5)


@given(transcripts())
@settings(max_examples=60, deadline=None)
def test_subtitles_fit_the_screen(transcript):
    from rich.cells import cell_len

    subtitles = make_subtitles(transcript)
    assert "".join("".join(each.lines).replace(" ", "") for each in subtitles) == transcript.text.replace(" ", "")
    for each in subtitles:
        assert 1 <= len(each.lines) <= 2
        assert all(0 < cell_len(line) <= LINE_COLUMNS for line in each.lines)
        assert each.start < each.end <= each.start + LONGEST + 1e-6
        assert each.start == each.words[0].start
    for each, following in pairwise(subtitles):
        assert each.end <= following.start
        enough = reading_seconds(sum(map(cell_len, each.lines)))
        assert each.end - each.start >= min(enough, LONGEST) - 1e-6 or each.end >= following.start - GAP - 1e-6
        if each.end < each.words[-1].end:
            assert len(each.words) == 1, "only one word may last longer than a subtitle"


@given(transcripts())
@settings(max_examples=40, deadline=None)
def test_subtitles_are_read_by_other_programs(transcript):
    subtitles = make_subtitles(transcript)
    expected = [(round(1000 * each.start), round(1000 * each.end), each.text) for each in subtitles]
    cues = list(srt.parse(written("srt", transcript)))
    assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
    assert [
        (round(c.start.total_seconds() * 1000), round(c.end.total_seconds() * 1000), c.content.replace("<\u2060", "<"))
        for c in cues
    ] == expected
    captions = webvtt.from_buffer(io.StringIO(written("vtt", transcript))).captions
    assert [(milliseconds(c.start), milliseconds(c.end), html.unescape(c.text)) for c in captions] == expected


def milliseconds(clock):
    hours, minutes, seconds = clock.split(":")
    return round(1000 * (3600 * int(hours) + 60 * int(minutes) + float(seconds)))


@given(transcripts())
@settings(max_examples=40, deadline=None)
def test_words_are_read_by_other_programs(transcript):
    expected = [(word.text, word.start, word.end) for word in transcript.words]
    (tier,) = read_textgrid(written("TextGrid", transcript))
    assert tier.name == "words"
    assert [(each.mark, float(each.minTime), float(each.maxTime)) for each in tier if each.mark] == [
        (text, pytest.approx(start), pytest.approx(end)) for text, start, end in expected
    ]
    table = list(csv.DictReader(io.StringIO(written("tsv", transcript)), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [(row["word"], float(row["start"]), float(row["end"])) for row in table] == expected
    lines = [line.split(" ") for line in written("ctm", transcript).splitlines()]
    assert [
        (text, float(start), pytest.approx(float(start) + float(length))) for _, _, start, length, text, _ in lines
    ] == (expected)


def test_words_without_a_length_get_one_where_the_format_requires_it():
    words = (Word("a", 0.5, 0.5, 1.0), Word("b", 0.5, 0.5, 1.0))
    (tier,) = read_textgrid(written("TextGrid", Transcript("a b", words, 0.5)))
    assert [(each.mark, float(each.minTime)) for each in tier if each.mark] == [("a", 0.5), ("b", 0.501)]
    assert [line.split()[3] for line in written("ctm", Transcript("a b", words, 0.5)).splitlines()] == ["0.001"] * 2


def timed(text, pause=0.1, length=0.3):
    """Words of equal length; a | in the text is a pause of a second and a half."""
    found, at = [], 0.0
    for word in text.split():
        if word == "|":
            at += 1.5
            continue
        found.append(Word(word, round(at, 3), round(at + length, 3), 1.0))
        at += length + pause
    return Transcript(" ".join(word.text for word in found), tuple(found), at)


def test_subtitles_follow_the_pauses():
    spoken = timed("the quick brown fox | jumps over the lazy dog and into the river where it swims | away")
    assert [each.lines for each in make_subtitles(spoken)] == [
        ("the quick brown fox",),
        ("jumps over the lazy dog and", "into the river where it swims"),
        ("away",),
    ]


def test_subtitles_can_be_read():
    """Words of quick reading, 19 characters per second with a pause after each phrase."""
    spoken = timed(" | ".join(["extraordinary circumstances", "he had never seen such a thing before"] * 20), 0.02, 0.3)
    speeds = [sum(map(len, each.lines)) / (each.end - each.start) for each in make_subtitles(spoken)]
    assert max(speeds) <= READING_SPEED + 1e-6


def test_a_subtitle_stays_until_two_frames_before_the_next():
    """40 characters spoken in 0.4 s need two seconds; the next phrase begins after 1.5 s."""
    phrase = ["extraordinary", "circumstances", "indeed"]
    words = [
        Word(text, at + 0.1 * i, at + 0.1 * i + 0.1, 1.0) for at in (0.0, 1.5, 8.0) for i, text in enumerate(phrase)
    ]
    subtitles = make_subtitles(Transcript(" ".join(each.text for each in words), tuple(words), 10.0))
    assert [round(each.end, 3) for each in subtitles] == [round(1.5 - 2 / 24, 3), 1.5 + 34 / 20, 8.0 + 34 / 20]


def test_subtitles_of_speech_without_pauses_are_alike():
    lengths = [len(each.words) for each in make_subtitles(timed("seven " * 40, pause=0.0))]
    assert max(lengths) - min(lengths) <= 2 and sum(lengths) == 40 and len(lengths) == 3


def test_a_language_without_spaces():
    words = tuple(Word(text, 0.5 * i, 0.5 * i + 0.4, 1.0) for i, text in enumerate(["今天", "天气", "很好"]))
    (subtitle,) = make_subtitles(Transcript("今天天气很好", words, 2.0))
    assert subtitle.text == "今天天气很好"
    one = Transcript("我" * 30, (Word("我" * 30, 0.0, 6.0, 1.0),), 6.0)
    assert [each.text for each in make_subtitles(one)] == ["我" * 21 + "\n" + "我" * 9]
    (segment,) = json.loads(written("json", one))["segments"]
    assert (segment["start"], segment["end"], segment["text"]) == (0.0, 6.0, "我" * 30)


# The command


def test_several_formats_at_once(asr, model_path, noise_file, tmp_path):
    for name in ("a.wav", "b.wav"):
        noise_file(name, 0.5)
    result = asr("transcribe", tmp_path, "-m", model_path, "-o", tmp_path / "out", "--format", *WRITERS)
    result = summarised(result, "2 done, 0 failed: 1.0 s of audio in ")
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    expected = [tmp_path / "out" / f"{name}.{kind}" for name in "ab" for kind in WRITERS]
    assert result.stdout.splitlines() == [str(path) for path in expected]
    record = json.loads((tmp_path / "out/b.json").read_text())
    assert (record["id"], record["model"], record["settings"]["decoder"]) == ("b", str(model_path), "auto")
    cues = list(srt.parse((tmp_path / "out/b.srt").read_text()))
    assert " ".join(cue.content.replace("\n", " ") for cue in cues) == record["text"]


def test_standard_output_takes_one_file(asr, model_path, noise_file):
    sounds = [noise_file("a.wav", 0.3), noise_file("b.wav", 0.3)]
    assert asr("transcribe", sounds[0], "-m", model_path, "--format", "vtt").stdout.startswith("WEBVTT\n")
    several = asr("transcribe", sounds[0], "-m", model_path, "--format", "txt", "srt")
    assert_told(several, ERROR, "--format txt srt", "-o DIR")
    assert_told(
        asr("transcribe", *sounds, "-m", model_path, "--format", "srt"), ERROR, "--format srt", "-o DIR", "jsonl"
    )
    for kind in STACKABLE:
        assert asr("transcribe", *sounds, "-m", model_path, "--format", kind).returncode == COMPLETE


# Names


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
    assert output_names(["-", "a/x.wav", "./y.wav"], "json") == [Path("stdin.json"), Path("a/x.json"), Path("y.json")]
    assert output_names(["../x.wav"], "json") == [Path("x.json")]


stems = st.sampled_from(["x", "X", "x.", ".x", "..x", "-", "x\n", " ", ""])
suffixes = st.sampled_from(["", ".", ".wav", ".WAV", ".flac", ".txt", ".wav.txt", ".wav.wav", ".txt.txt"])
anything = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=6)
names = (st.tuples(stems, suffixes).map("".join) | anything).filter(lambda name: name not in ("", ".", ".."))
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts)) | st.just("-")


@given(st.lists(paths, unique_by=os.path.abspath, max_size=12), st.sampled_from(sorted(WRITERS)))
@example(["/x.wav", "/x.flac", "/x.wav.txt", "/x.wav.wav", "-"], "txt")
@example(["/x", "/x.txt", "/x.txt.txt"], "txt")
@example(["-", "stdin"], "txt")
def test_output_names_never_collide(inputs, suffix):
    outputs = output_names(inputs, suffix)
    assert len(outputs) == len(inputs)
    assert len(set(outputs)) == len(outputs)
    for name, output in zip(inputs, outputs, strict=True):
        assert not output.is_absolute()
        assert ".." not in output.parts
        path = Path("stdin" if name == "-" and "stdin" not in inputs else name)
        assert output.name in (f"{path.stem}.{suffix}", f"{path.name}.{suffix}")
