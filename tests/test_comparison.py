"""asr compare: constructed cases with known answers, NIST's own figures, the interval, and both outputs."""

import json
import math
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from command_line import COMPLETE, ERROR, PARTLY, assert_told
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.data.manifest import Utterance
from asr.errors import ScoreError
from asr.evaluation.alignment import score
from asr.evaluation.comparison import Column, compare, comparison_page, comparison_text, matched_pairs, merge, segment
from asr.evaluation.metrics import evaluate
from asr.evaluation.report import json_report
from asr.text.config import TextConfig
from asr.transcript import Transcript

TEXT = TextConfig(normalizer="nfc")


def pairs_of(said, heard, speakers=("",)):
    return [
        (Utterance(f"u-{i}", Path(), 2.0, text, speakers[i % len(speakers)]), Transcript(heard[i], (), 2.0))
        for i, text in enumerate(said)
    ]


@pytest.fixture
def report(tmp_path):
    """Write the report of a system."""

    def write(name, said, heard, text=TEXT, **options):
        pairs = pairs_of(said, heard, **options)
        evaluation = evaluate(
            pairs, text=text, model=f"{name}.safetensors", manifests=["test.jsonl"], compute_seconds=1
        )
        path = tmp_path / f"{name}.json"
        path.write_bytes(json_report(evaluation))
        return path

    return write


def columns(said, first, second):
    one, other = (score(pairs_of([said], [heard]), TEXT)[0].alignment for heard in (first, second))
    return merge(one, other)


def test_alignments_are_merged():
    assert columns("a b c", "a x b c", "y a c") == [
        Column("", "", "y"),
        Column("a", "a", "a"),
        Column("", "x", ""),
        Column("b", "b", ""),
        Column("c", "c", "c"),
    ]
    assert columns("a", "a x", "a y z") == [Column("a", "a", "a"), Column("", "x", "y"), Column("", "", "z")]


texts = st.lists(st.sampled_from("abcd"), max_size=8).map(" ".join)


@given(texts, texts, texts)
@settings(max_examples=60, deadline=None)
def test_a_merged_alignment_has_all_words_and_all_errors(said, first, second):
    merged = columns(said, first, second)
    for side, text in enumerate((said, first, second)):
        words = [(column.reference, column.first, column.second)[side] for column in merged]
        assert " ".join(filter(None, words)) == text
    errors = [score(pairs_of([said], [heard]), TEXT)[0].words.errors for heard in (first, second)]
    assert [sum(column.kinds[side] != "equal" for column in merged) for side in (0, 1)] == errors
    assert sum(segment(merged)) == errors[0] - errors[1]
    assert segment([Column(c.reference, c.second, c.first) for c in merged]) == [-d for d in segment(merged)]


@pytest.mark.parametrize(
    ("said", "first", "second", "differences"),
    [
        ("a b c d e", "a b c d e", "a b c d e", []),
        ("a b c d e", "a x c d e", "a b c d e", [1]),
        ("a b c d e", "a x c d x", "a b c d e", [1, 1]),  # two right words in a row part them
        ("a b c d e", "a x c x e", "a b c d e", [2]),  # one does not
        ("a b c d e", "x b c d e", "a b c d x", [1, -1]),
        ("a b c d e", "a b y c d e", "a b c d e", [1]),  # an insertion between right words
        ("a b c d e", "a y b y c d e", "a b c d e", [2]),
        ("a b c d e", "x b c d e", "x b c d e", [0]),  # both wrong: a segment without a difference
        ("a b", "a b z", "a b", [1]),
        ("", "z", "", [1]),
    ],
)
def test_segments(said, first, second, differences):
    assert segment(columns(said, first, second)) == differences


def test_the_test_of_known_differences():
    test = matched_pairs([1, 1, 0, -1, 2, 0, 1, 0])
    assert (test.segments, test.mean) == (8, 0.5)
    assert test.deviation == pytest.approx(math.sqrt(6 / 7))
    assert test.z == pytest.approx(0.5 / math.sqrt(6 / 7 / 8))
    assert test.p == pytest.approx(0.1266, abs=1e-4)  # of a table of the normal distribution: z = 1.5275
    assert matched_pairs([-d for d in [1, 1, 0, -1, 2, 0, 1, 0]]).p == test.p


@pytest.mark.parametrize(("z", "p"), [(1.959964, 0.05), (2.575829, 0.01), (0.0, 1.0)])
def test_p_is_that_of_the_normal_distribution(z, p):
    count = 100  # half of them 1 + d, half -1 + d: deviation sqrt(100 / 99), mean d
    shift = z * math.sqrt(count / (count - 1)) / math.sqrt(count)
    test = matched_pairs([1 + shift] * 50 + [-1 + shift] * 50)
    assert (test.z, test.p) == (pytest.approx(z), pytest.approx(p, abs=1e-6))


def test_without_segments_there_is_no_test():
    assert math.isnan(matched_pairs([]).p) and math.isnan(matched_pairs([3]).p)
    assert matched_pairs([0, 0, 0]).p == 1.0
    assert matched_pairs([1, 1, 1]).p == 0.0


def systems(seed=7, utterances=40):
    """References of words that are all different, and two systems whose errors can be aligned in one way only."""
    generator = random.Random(seed)

    def hear(said, share):
        heard = []
        for word in said:
            draw = generator.random()
            if draw < share:
                heard.append(f"x{word}")
            elif not (draw < 1.4 * share and word != said[-1] and heard and heard[-1] in said):
                heard.append(word)
        return heard

    references = [[f"w{i}" for i in range(generator.randint(5, 25))] for _ in range(utterances)]
    heard = [[hear(said, share) for said in references] for share in (0.10, 0.05)]
    return [[" ".join(words) for words in system] for system in (references, *heard)]


def test_sclite_agrees(report):
    """What sclite and sc_stats 2.4.10 print of these systems (`sc_stats -t mapsswe -v`)."""
    said, first, second = systems()
    comparison = compare(report("a", said, first), report("b", said, second))
    assert (comparison.first.words.errors, comparison.second.words.errors) == (79, 45)
    assert comparison.test.segments == 86
    assert round(comparison.test.mean, 3) == 0.395
    assert round(comparison.test.deviation, 3) == 1.239
    assert round(comparison.test.z, 3) == 2.958
    assert comparison.verdict == "B is better (p = 0.003)"


def test_interval_is_paired(report):
    """Where B differs from A in a few words only, the difference is known far better than either rate."""
    said, first, _ = systems()
    second = [text.replace("xw1 ", "w1 ") for text in first]
    comparison = compare(report("a", said, first), report("b", said, second))
    low, high = comparison.interval
    assert low < comparison.difference < high <= 0
    own = evaluate(pairs_of(said, first), text=TEXT, model="a", manifests=[]).interval
    assert high - low < (own[1] - own[0]) / 2
    swapped = compare(report("a", said, second), report("b", said, first))
    assert swapped.interval == pytest.approx((-high, -low))
    assert swapped.wins == pytest.approx(1 - comparison.wins)


def test_equal_systems(report):
    said, first, _ = systems()
    comparison = compare(report("a", said, first), report("b", said, first))
    assert (comparison.difference, comparison.interval, comparison.better, comparison.worse) == (0, None, [], [])
    assert comparison.verdict == "no significant difference (p = 1.000)"
    assert "0.00 points" in comparison_text(comparison, 3).plain


def test_speakers_are_redrawn_where_they_are_known(report):
    said, first, second = systems()
    named = compare(*(report(n, said, h, speakers=("anna", "ben")) for n, h in (("a", first), ("b", second))))
    assert named.over == "speakers"
    assert compare(report("a", said, first), report("b", said, second)).over == "utterances"


SAID = ["the edison lamp", "in the morning", "yes <b>"]
FIRST = ["the addison lamp", "in the morning", "yes <b>"]
SECOND = ["the edison lamp", "in a morning", "yes <b> please"]


def test_golden_text(report):
    comparison = compare(report("a", SAID, FIRST), report("b", SAID, SECOND))
    lines = comparison_text(comparison, 1).plain.splitlines()
    assert lines[0].startswith("A            12.50%  a.safetensors, greedy: ")
    assert lines[2].startswith("difference   +12.50 points of WER (95% interval ")
    assert lines[3:7] == [
        "MAPSSWE      no significant difference (p = 0.617); "
        "3 segments, B makes 0.333 errors more per segment, z = -0.50",
        "alignment    levenshtein (costs: substitution 1, deletion 1, insertion 1)",
        "utterances   1 better in B, 2 worse, 0 equal",
        "NOTE         fewer than 50 segments with errors: p is approximate",
    ]
    assert lines[7:] == [
        "",
        "better in B: u-0, 1 -> 0 errors",
        "reference    the edison  lamp",
        "A            the addison lamp",
        "B            the edison  lamp",
        "wrong            A",
        "",
        "worse in B: u-1, 0 -> 1 errors",
        "reference    in the morning",
        "A            in the morning",
        "B            in a   morning",
        "wrong           B",
    ]
    styles = {str(span.style) for span in comparison_text(comparison, 1).spans}
    assert "bold yellow" in styles


def test_page(report):
    page = comparison_page(compare(report("a", SAID, FIRST), report("b", SAID, SECOND)))
    open_tags, text = [], []

    class Page(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "br"):
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

        def handle_data(self, data):
            text.append(data)

    Page().feed(page)
    assert open_tags == []
    assert {"addison", "please", "<b>", "+12.50 points"} <= {part.strip() for part in text}
    assert "http" not in page and "<script" not in page


# The command


def test_compare(asr, report, tmp_path):
    result = asr("compare", report("a", SAID, FIRST), report("b", SAID, SECOND), "-o", tmp_path / "page.html")
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    assert "utterances   1 better in B, 2 worse" in result.stdout and "\x1b" not in result.stdout
    assert result.stdout.endswith(f"page         {tmp_path / 'page.html'}\n")
    assert (tmp_path / "page.html").read_text().count("u-1") == 1


def test_utterances_of_one_report_only_are_reported(asr, report):
    result = asr("compare", report("a", SAID, FIRST), report("b", SAID[:2], SECOND[:2]))
    assert result.returncode == PARTLY
    assert "1 utterances, such as 'u-2', are in only one report" in result.stdout


def test_reports_that_cannot_be_compared(asr, report, tmp_path):
    first = report("a", SAID, FIRST)
    assert_told(asr("compare", first, report("b", ["another text", *SAID[1:]], SECOND)), ERROR, "'u-0'", "references")
    other = report("b", SAID, SECOND, text=TextConfig(normalizer="basic"))
    assert_told(asr("compare", first, other), ERROR, "normalizer 'nfc'", "'basic'")
    assert_told(asr("compare", first, tmp_path / "gone.json"), ERROR, "gone.json", "report.json")
    (tmp_path / "c.json").write_text(json.dumps({"model": "m"}))
    assert_told(asr("compare", first, tmp_path / "c.json"), ERROR, "c.json", "fields are missing")
    (tmp_path / "d.json").write_text(json.dumps({**json.loads(first.read_text()), "utterances": [{"id": "u-0"}]}))
    assert_told(asr("compare", first, tmp_path / "d.json"), ERROR, "d.json", "utterances")


def test_too_few_segments_for_a_test(report):
    comparison = compare(report("a", ["one two"], ["one too"]), report("b", ["one two"], ["one two"]))
    text, page = comparison_text(comparison, 1).plain, comparison_page(comparison)
    assert "no verdict" in text and "1 segment\n" in text
    assert not re.search(r"\bnan\b", text) and not re.search(r"\bnan\b", page)


def test_reports_of_different_alignments_are_not_compared(report, tmp_path):
    first, second = report("a", SAID, FIRST), report("b", SAID, SECOND)
    second.write_text(second.read_text().replace('"levenshtein"', '"sclite"'))
    with pytest.raises(ScoreError, match=r"alignment 'levenshtein'.*'sclite'"):
        compare(first, second)


def test_the_alignment_of_the_reports_is_used(report):
    paths = [report(name, ["a b c"], [heard]) for name, heard in (("a", "x y a"), ("b", "a b"))]
    for path in paths:
        path.write_text(path.read_text().replace('"levenshtein"', '"sclite"'))
    assert "costs: substitution 4, deletion 3, insertion 3" in comparison_text(compare(*paths), 1).plain
