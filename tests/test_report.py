"""The report's three files: they parse, hold the figures, load nothing and escape what transcripts say."""

import base64
import json
import re
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from asr.data.manifest import Utterance
from asr.evaluation.metrics import evaluate
from asr.evaluation.report import Emission, draw, histogram, html_report, json_report, markdown_report, write_report
from asr.text.config import TextConfig
from asr.transcript import Transcript, Word

ATTACK = "<script>alert(1)</script>"
VOID = {"meta", "image", "rect", "line", "polyline", "br"}


class Page(HTMLParser):
    """The page's text, its tags and the values of its attributes; fails when tags are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.text, self.tags, self.values, self.open = "", [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.values += [(name, value) for name, value in attributes if value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def pair(reference, hypothesis, id, speaker="", duration=3.0, **extra):
    utterance = Utterance(id, Path("a.wav"), duration, reference, speaker, extra=extra)
    return utterance, Transcript(hypothesis, (), duration)


def evaluated(pairs=(), **options):
    pairs = pairs or [pair("the edison lamp", "the addison lamp", "a-1", "anna"), pair("我们 去", "我们", "b-1", "ben")]
    options = {"text": TextConfig(normalizer="nfc"), "model": "m.safetensors", "manifests": ["test.jsonl"], **options}
    return evaluate(pairs, compute_seconds=0.6, date=datetime(2025, 1, 2), **options)


def emission(**options):
    """Ten output frames of 40 ms that say "a b", with a "c" that nearly wins instead of the "b"."""
    probabilities = np.full((10, 5), 0.001)
    probabilities[:, 0] = 1
    for frame, likely in ((2, {1: 0.9}), (4, {4: 0.8}), (6, {2: 0.6, 3: 0.3})):
        probabilities[frame, 0] = 0.01
        for token, probability in likely.items():
            probabilities[frame, token] = probability
    words = [Word("a", 0.08, 0.12, 0.9), Word("b", 0.24, 0.28, 0.6)]
    values = {
        "utterance": "a-1",
        "reference": "a c",
        "hypothesis": "a b",
        "log_mel": np.random.default_rng(0).normal(size=(39, 80)).astype(np.float32),
        "log_probabilities": np.log(probabilities / probabilities.sum(axis=1, keepdims=True)),
        "pieces": ["", "a", "b", "c", " "],
        "hop_seconds": 0.01,
        "frame_seconds": 0.04,
        "words": words,
    }
    return Emission(**{**values, **options})


def test_three_files_are_written(tmp_path):
    paths = write_report(tmp_path / "new" / "folder", evaluated(), [emission()])
    assert [path.name for path in paths] == ["report.json", "report.md", "report.html"]
    assert all(path.stat().st_size for path in paths)
    assert len(list(paths[0].parent.iterdir())) == 3


def test_the_same_evaluation_gives_the_same_files():
    assert html_report(evaluated(), [emission()]) == html_report(evaluated(), [emission()])
    assert json_report(evaluated()) == json_report(evaluated())


def test_json_holds_the_figures_and_every_utterance():
    values = json.loads(json_report(evaluated(failures=[("c-1", "cut short")])))
    assert values["wer"] == {"rate": 0.4, "substitutions": 1, "deletions": 1, "insertions": 0, "reference": 5}
    assert (values["normalizer"], values["decoder"]) == ("nfc", "greedy")
    assert values["real_time_factor"] == pytest.approx(0.1)
    assert values["complete"] is False
    assert values["failures"] == [{"id": "c-1", "reason": "cut short"}]
    assert [(item["id"], item["hypothesis"]) for item in values["utterances"]] == [
        ("a-1", "the addison lamp"),
        ("b-1", "我们"),
    ]
    assert values["confusions"]["substitution"] == ["edison -> addison (1)"]
    assert values["date"] == "2025-01-02T00:00:00"


def test_json_has_null_where_there_is_no_rate():
    values = json.loads(json_report(evaluated([pair("", "huh", "a")])))
    assert values["wer"]["rate"] is None
    assert values["wer_interval_over_utterances"] is None


def test_markdown_holds_the_figures():
    text = markdown_report(evaluated())
    assert text.startswith("# m.safetensors on test.jsonl\n")
    assert "| WER | 40.00% |" in text
    assert "| normalizer | nfc |" in text and "| decoder | greedy |" in text
    assert "| edison -> addison | 1 |" in text
    assert "| anna | 33.33% | 1 | 3.0 s |" in text


def test_markdown_escapes_text():
    text = markdown_report(evaluated([pair("a | b", f"*a* {ATTACK}", "x")]))
    assert "<script>" in text
    assert not re.search(r"(?<!\\)<", text)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) in (3, 5) for row in rows)


def test_page_holds_the_figures_and_captions():
    page = Page(html_report(evaluated(), [emission()]))
    for wanted in ("40.00%", "edison → addison", "anna", "我们", "2-5 s", "“nfc”", "m.safetensors", "test.jsonl"):
        assert wanted in page.text
    assert "It can exceed 100%" in page.text


def test_page_marks_every_error_without_colour():
    page = html_report(evaluated([pair("one two three", "one too three four", "a"), pair("five six", "five", "b")]))
    marks = re.findall(r'class="word (\w+)">.*?<i>(.)</i>', page[page.index('class="words"') :])
    assert sorted(set(marks)) == [("deletion", "D"), ("equal", " "), ("insertion", "I"), ("substitution", "S")]


def test_page_loads_nothing():
    text = html_report(evaluated([pair("see http://example.org", "see it", "a")]), [emission()])
    page = Page(text)
    loads = [value for name, value in page.values if name in ("src", "href", "srcset", "action", "data")]
    assert loads
    assert all(load.startswith("data:image/png;base64,") for load in loads)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert "@import" not in text
    assert "url(" not in text


def test_page_escapes_every_text():
    hostile = evaluated(
        [pair(f"one {ATTACK}", f"{ATTACK} two", ATTACK, ATTACK), pair("one", "two", "b", 'x" onload="alert(1)')],
        model=ATTACK,
        manifests=[ATTACK],
        failures=[(ATTACK, ATTACK)],
        text=TextConfig(normalizer="nfc", replace={"~": "<script>"}),
    )
    word = Word(ATTACK, 0.0, 0.1, 0.5)
    picture = emission(utterance=ATTACK, reference=ATTACK, hypothesis=ATTACK, words=[word], pieces=["", *[ATTACK] * 4])
    page = Page(html_report(hostile, [picture]))
    assert "script" not in page.tags
    assert ATTACK in page.text
    assert "onload" not in dict(page.values)


@pytest.mark.parametrize("report", [html_report, markdown_report, lambda evaluation: json_report(evaluation).decode()])
def test_synthetic_speech_is_named(report):
    said = "says nothing about human speech"
    assert said not in report(evaluated())
    assert said in report(evaluated([pair("one", "one", "a", synthetic=True)]))


@pytest.mark.parametrize("report", [html_report, markdown_report, lambda evaluation: json_report(evaluation).decode()])
def test_incomplete_evaluation_has_a_caveat(report):
    assert "incomplete: " not in report(evaluated())
    text = report(evaluated(failures=[("c-1", "cut short")]))
    assert "incomplete: 1 of 3 utterances" in text
    assert "cut short" in text


def test_many_speakers_stay_readable():
    speakers = [f"speaker{i:03d}" for i in range(250)]
    pairs = [
        pair("one two three four", "one two three" + " five" * (i % 9), speaker, speaker)
        for i, speaker in enumerate(speakers)
    ]
    page = Page(html_report(evaluated(pairs)))
    table = page.text[page.text.index("By speaker") : page.text.index("By duration")]
    assert len(re.findall(r"speaker\d\d\d", table)) == 20
    assert "250 speakers" in page.text
    assert "The worst 40 of 250" in markdown_report(evaluated(pairs))


def test_histogram_counts_every_known_speaker():
    pairs = [
        pair("one two", heard, str(i), speaker)
        for i, (heard, speaker) in enumerate(
            [("one two", "anna"), ("one", "ben"), ("a b c d e f", "cleo"), ("one", "")]
        )
    ]
    assert histogram(evaluated(pairs).speakers, top=1.0, bins=4) == [1, 0, 1, 1]


@pytest.mark.parametrize(
    "pairs",
    [
        [pair("one", "one", "a")],
        [pair("", "", "a")],
        [pair("one", "", "a"), pair("two", "three four five six", "b")],
        [pair("one", "one", str(i), "anna") for i in range(12)],
    ],
)
def test_unusual_evaluations_have_a_page(pairs):
    Page(html_report(evaluated(pairs)))


def test_evaluation_of_failures_alone_has_a_report(tmp_path):
    nothing = evaluate(
        [], text=TextConfig(), model="m", manifests=["t"], compute_seconds=0.0, failures=[("a", "no such file")]
    )
    write_report(tmp_path, nothing)
    assert "n/a" in Page((tmp_path / "report.html").read_text(encoding="utf-8")).text


def confident(reference, *words):
    utterance, _ = pair(reference, "", reference)
    words = tuple(Word(word, 0.0, 0.1, confidence) for word, confidence in words)
    return utterance, Transcript(" ".join(word.text for word in words), words, 3.0)


def test_reliability_is_in_every_report():
    evaluation = evaluated([confident("one two", ("one", 0.9), ("too", 0.25)), confident("six", ("six", 1.0))])
    values = json.loads(json_report(evaluation))["calibration"]
    assert (values["words"], values["correct"], values["left_out"]) == (3, 2, 0)
    assert values["expected_error"] == pytest.approx(0.35 / 3)
    assert [each["words"] for each in values["bins"]] == [0, 0, 1, 0, 0, 0, 0, 0, 0, 2]
    assert values["bins"][0]["correct"] is None
    values = json.loads(json_report(evaluation))["segment_calibration"]
    assert (values["words"], values["correct"]) == (2, 1)
    text = markdown_report(evaluation)
    assert "Expected calibration error 11.67%" in text
    assert "| 0.9 to 1.0 | 2 | 0.95 | 100.00% |" in text
    html = html_report(evaluation)
    assert len(re.findall(r'class="dot"', html)) == 2 + 2  # of words and of segments
    assert "2 words with confidence 0.95 on average: 100.00% correct" in Page(html).text


def test_reports_without_confidence_leave_it_out():
    assert json.loads(json_report(evaluated()))["calibration"] is None
    assert "## Confidence" not in markdown_report(evaluated())
    assert "How sure it is" not in html_report(evaluated())


def test_utterances_without_a_confidence_for_each_word_are_counted():
    evaluation = evaluated([confident("one", ("one", 0.9)), pair("two", "two", "b")])
    said = "1 utterance left out, where normalisation joins, splits or drops words"
    assert said in markdown_report(evaluation)
    assert said in html_report(evaluation)


def test_picture_names_each_token_where_it_peaks():
    picture = draw(emission())
    assert [(area["piece"], area["wins"]) for area in sorted(picture["areas"], key=lambda area: -area["y"])] == [
        ("a", True),
        ("␣", True),
        ("b", True),
        ("c", False),
    ]
    frame = 0.04 * picture["scale"]
    assert [area["x"] / frame for area in picture["areas"]] == pytest.approx([2.5, 6.5, 6.5, 4.5])


def test_picture_axes_are_one_axis():
    picture = draw(emission())
    assert picture["seconds"] == pytest.approx(0.4)
    assert picture["image_width"] / picture["scale"] == pytest.approx(0.39)
    assert picture["width"] / picture["scale"] == pytest.approx(0.4)
    assert picture["blank"][-1][0] == pytest.approx(picture["width"])


def test_picture_repeats_a_token_that_a_blank_parts():
    probabilities = np.full((5, 2), 0.5)
    probabilities[[1, 3]] = [0.1, 0.9]
    probabilities[[0, 2, 4]] = [0.999, 0.001]
    areas = draw(emission(log_probabilities=np.log(probabilities), pieces=["", "l"]))["areas"]
    assert [area["piece"] for area in areas] == ["l", "l"]


def test_spectrogram_is_a_png_of_its_frames_and_bands():
    png = base64.b64decode(draw(emission())["image"])
    assert png.startswith(b"\x89PNG")
    assert (int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) == (39, 80)


def test_silent_spectrogram_can_be_drawn():
    assert draw(emission(log_mel=np.zeros((39, 80))))["image"]
