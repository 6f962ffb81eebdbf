"""asr.evaluation.transcript_files and `asr score`: every format; parity with jiwer and with sclite."""

import json

import jiwer
import pytest
from command_line import COMPLETE, ERROR, PARTLY, assert_told
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.errors import ScoreError
from asr.evaluation.config import ScoreConfig
from asr.evaluation.nist_markup import parse, resolve
from asr.evaluation.report import html_report, markdown_report
from asr.evaluation.terminal import summary_text
from asr.evaluation.transcript_files import score_files
from asr.output.formats import Document, to_ctm, to_json, to_jsonl
from asr.transcript import Transcript, Word

SAID = {"u-1": "The Edison lamp.", "u-2": "in the morning", "u-3": "yes"}
HEARD = {"u-1": "the addison lamp", "u-2": "in morning", "u-3": ""}


@pytest.fixture
def write(tmp_path):
    """Write utterances in one of the layouts, by the suffix."""

    def write(name, utterances, key="text"):
        layouts = {
            "jsonl": lambda id, text: json.dumps({"id": id, key: text, "speaker": id[:1], "duration": 2.0}),
            "txt": lambda id, text: text,
            "ctm": lambda id, text: "\n".join(f"{id} 1 {i}.0 0.5 {word} 0.9" for i, word in enumerate(text.split())),
            "": lambda id, text: f"{id} {text}",
        }
        line = layouts[name.partition(".")[2]]
        path = tmp_path / name
        path.write_text("".join(line(*each) + "\n" for each in utterances.items()), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("hypothesis", ["hyp.jsonl", "hyp.ctm", "hyp"])
@pytest.mark.parametrize("reference", ["ref.jsonl", "ref"])
def test_layouts_with_names(write, reference, hypothesis):
    heard = dict(reversed(HEARD.items()))  # names count, not the order
    evaluation = score_files(write(reference, SAID), write(hypothesis, heard), ScoreConfig())
    assert [(item.utterance.id, item.words.errors) for item in evaluation.scored] == [
        ("u-1", 1),
        ("u-2", 1),
        ("u-3", 1),
    ]
    assert evaluation.words.reference == 7 and evaluation.complete
    assert bool(evaluation.durations) == (reference == "ref.jsonl")


def test_lines_go_by_their_order(write):
    evaluation = score_files(write("ref.txt", SAID), write("hyp.txt", HEARD), ScoreConfig())
    assert (evaluation.words.errors, evaluation.words.reference) == (3, 7)


def test_files_of_transcribe(tmp_path, write):
    words = (Word("the", 0.1, 0.4, 0.9), Word("addison", 0.5, 0.9, 0.25), Word("lamp", 1.0, 1.3, 0.75))
    document = Document("u-1", "a/u-1.wav", Transcript("the addison lamp", words, 2.0))
    reference = write("ref.jsonl", {"u-1": SAID["u-1"]})
    for name, text in (("out.jsonl", to_jsonl(document)), ("out.ctm", to_ctm(document))):
        (tmp_path / name).write_text(text)
        evaluation = score_files(reference, tmp_path / name, ScoreConfig())
        assert (evaluation.words.errors, evaluation.calibration.words, evaluation.calibration.correct) == (1, 3, 2)


def test_ctm_of_align_with_loose_punctuation_is_read_again(tmp_path, write):
    words = (Word("the", 0.1, 0.4, 0.9), Word("Edison —", 0.5, 0.9, 0.25), Word("lamp.", 1.0, 1.3, 0.75))
    (tmp_path / "out.ctm").write_text(to_ctm(Document("u-1", "u-1.wav", Transcript("", words, 2.0))))
    assert score_files(write("ref", {"u-1": SAID["u-1"]}), tmp_path / "out.ctm", ScoreConfig()).words.errors == 0


def test_pred_text_of_a_manifest_is_the_hypothesis(tmp_path):
    path = tmp_path / "both.jsonl"
    path.write_text(json.dumps({"audio_filepath": "a.wav", "text": "one two", "pred_text": "one too"}) + "\n")
    assert score_files(path, path, ScoreConfig()).words.substitutions == 1


def test_normalizer(write):
    same = write("ref.jsonl", {"u": "Well, YES"}), write("hyp.jsonl", {"u": "well yes"})
    assert score_files(*same, ScoreConfig()).words.errors == 0
    assert score_files(*same, ScoreConfig(normalizer="nfc")).words.errors == 2


texts = st.lists(st.sampled_from(["a", "b", "c", "don't"]), max_size=6).map(" ".join)


@given(st.lists(st.tuples(texts.filter(bool), texts), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_rates_are_those_of_jiwer(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("score")
    said, heard = zip(*pairs, strict=True)
    (folder / "ref.txt").write_text("".join(f"{line}\n" for line in said))
    (folder / "hyp.txt").write_text("".join(f"{line}\n" for line in heard))
    evaluation = score_files(folder / "ref.txt", folder / "hyp.txt", ScoreConfig())
    assert evaluation.words.rate == pytest.approx(jiwer.wer(list(said), list(heard)))
    assert evaluation.characters.rate == pytest.approx(jiwer.cer(list(said), list(heard)))


# NIST's markup. Errors are those that sclite 2.4.10 prints with -D.


@pytest.mark.parametrize(
    ("reference", "heard", "chosen", "errors"),
    [
        (
            "i've { um / uh / @ } as far as i'm concerned",
            "i've as far as i'm concerned",
            "i've as far as i'm concerned",
            0,
        ),
        ("i've { um / uh / @ } as far as i'm concerned", "i've uh as far as i'm", "i've uh as far as i'm concerned", 1),
        ("the quick (uh) brown fox", "the quick brown fox", "the quick brown fox", 0),
        ("the quick (uh) brown fox", "the quick uh brown ox", "the quick uh brown fox", 1),
        ("{ going to / gonna } be there", "gonna be there", "gonna be there", 0),
        ("{ going to / gonna } be there", "going be there", "going to be there", 1),
        ("yes (uh)", "yes yes", "yes", 1),
        ("so { i / @ } (well) say", "so well say", "so well say", 0),
        ("{ c { a / b } / @ } d", "c b d", "c b d", 0),
        ("a / b @", "a b", "a / b @", 2),
    ],
)
def test_marked_references(reference, heard, chosen, errors):
    assert resolve(parse(reference), heard, str.lower) == chosen
    output = jiwer.process_words([chosen], [heard])
    assert output.substitutions + output.deletions + output.insertions == errors


@given(st.lists(st.lists(texts, min_size=1, max_size=3), min_size=1, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_any_of_the_alternatives_is_right(slots, random):
    marked = " ".join("{ " + " / ".join(way or "@" for way in ways) + " }" for ways in slots)
    said = " ".join(random.choice(ways) for ways in slots)
    assert resolve(parse(marked), " ".join(said.split()), str) == " ".join(said.split())


def test_markup_by_files(write):
    files = write("ref", {"u": "{ Going to / Gonna } be (well) there!"}), write("hyp", {"u": "gonna be there"})
    assert score_files(*files, ScoreConfig(markup=True)).words.errors == 0
    plain = score_files(*files, ScoreConfig())
    assert plain.words.errors == 3 and "--markup" in plain.caveats[0]
    with pytest.raises(ScoreError, match=r"ref: u: .*without its \}"):
        score_files(write("ref", {"u": "{ a / b"}), files[1], ScoreConfig(markup=True))


# The command


def test_report_of_another_recogniser(asr, write, tmp_path):
    files = write("ref", SAID), write("hyp.ctm", HEARD)
    result = asr("score", *files, "-o", tmp_path / "report")
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    assert result.stdout.startswith("WER          42.86%")
    assert "RTF" not in result.stdout
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert (report["model"], report["manifests"], report["real_time_factor"]) == ("hyp.ctm", ["ref"], None)
    assert [item["reference"] for item in report["utterances"]] == ["the edison lamp", "in the morning", "yes"]
    page = (tmp_path / "report/report.html").read_text()
    assert "hyp.ctm" in page and "nan" not in page


def test_utterances_without_a_hypothesis_are_reported(asr, write):
    result = asr("score", write("ref", SAID), write("hyp", {"u-1": "the edison lamp"}))
    assert result.returncode == PARTLY
    assert "incomplete: 2 of 3 utterances" in result.stdout and "u-2: no such utterance in" in result.stdout


@pytest.mark.parametrize(
    ("reference", "hypothesis", "parts"),
    [
        (("ref.txt", "a\nb\n"), ("hyp.txt", "a\n"), ("ref.txt has 2 lines", "1")),
        (("ref.txt", "a\n"), ("hyp.ctm", "u 1 0 1 a\n"), ("as lines", "as ctm", "--reference_format")),
        (("ref", "u a\n"), ("hyp", "v a\n"), ("such as 'v'", "such as 'u'")),
        (("ref", "u a\nu b\n"), ("hyp", "u a\n"), ("ref:2", "'u'")),
        (("ref", "u a\n"), ("hyp.ctm", "u 1 zero 1 a\n"), ("hyp.ctm:1", "recording channel start")),
        (("ref", "u a\n"), ("hyp.jsonl", '{"id": "u"}\n'), ("hyp.jsonl:1", "no 'text'")),
        (("ref", "u a\n"), ("hyp.jsonl", "nonsense\n"), ("hyp.jsonl:1", "not JSON")),
        (
            ("ref", "u a\n"),
            ("hyp.json", to_json(Document("u", "u.wav", Transcript("a", (), 1.0)))),
            ("hyp.json: one JSON document", "--format jsonl"),
        ),
        (("ref", ""), ("hyp", "u a\n"), ("no transcripts", "'kaldi'")),
        (("ref.doc", "u a\n"), ("hyp", "u a\n"), ("ref.doc", "--reference_format")),
        (("ref", "u a\n"), ("hyp", b"u \xff\n"), ("hyp", "not UTF-8")),
        (("ref", "u a\n"), ("hyp", None), ("hyp", "No such file")),
    ],
)
def test_files_that_cannot_be_scored(asr, tmp_path, reference, hypothesis, parts):
    for name, content in (reference, hypothesis):
        if content is not None:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_told(asr("score", tmp_path / reference[0], tmp_path / hypothesis[0]), ERROR, *parts)


def test_byte_order_marks_and_odd_characters_that_end_no_line(tmp_path):
    for name in ("ref", "hyp", "ref.txt", "hyp.txt", "ref.jsonl", "hyp.jsonl"):
        lines = {
            "": "u-1\tone\u2028two\x85\x0bthree\nu-2  four\n",
            ".txt": "one\u2028two\x85\x0bthree\nfour\n",
            ".jsonl": '{"id": "u-1", "text": "one\u2028two\x85 three"}\n{"id": "u-2", "text": "four"}\n',
        }[name[3:]]
        (tmp_path / name).write_text(f"\ufeff{lines}", encoding="utf-8")
    for suffix in ("", ".txt", ".jsonl"):
        evaluation = score_files(tmp_path / f"ref{suffix}", tmp_path / f"hyp{suffix}", ScoreConfig())
        assert (evaluation.words.errors, evaluation.words.reference, len(evaluation.scored)) == (0, 4, 2)


def test_speaker_zero_and_words_without_confidence(tmp_path):
    lines = [
        {"id": str(n), "text": "one two", "speaker": n % 2, "words": [{"text": "one", "start": 0, "end": 1}]}
        for n in range(4)
    ]
    (tmp_path / "ref.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    evaluation = score_files(tmp_path / "ref.jsonl", tmp_path / "ref.jsonl", ScoreConfig())
    assert sorted(group.name for group in evaluation.speakers) == ["0", "1"]
    assert evaluation.calibration is None


def test_alignment_costs_are_named_and_chosen(write):
    files = write("ref", {"u": "c a c"}), write("hyp", {"u": "c c b"})
    fewest, sclite = (score_files(*files, ScoreConfig(alignment=name)) for name in ("levenshtein", "sclite"))
    assert (fewest.words.substitutions, fewest.words.deletions, fewest.words.insertions) == (2, 0, 0)
    assert (sclite.words.substitutions, sclite.words.deletions, sclite.words.insertions) == (0, 1, 1)
    for evaluation, costs in ((fewest, "deletion 1"), (sclite, "deletion 3")):
        for text in (summary_text(evaluation), markdown_report(evaluation), html_report(evaluation)):
            assert costs in text
