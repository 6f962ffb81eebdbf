"""asr.evaluation.nist_files, through `score_files`: CTM, STM and TRN. Errors are those that sclite 2.4.10 counts."""

import pytest

from asr.errors import ScoreError
from asr.evaluation.config import ScoreConfig
from asr.evaluation.transcript_files import score_files

SCLITE = ScoreConfig(alignment="sclite")


@pytest.fixture
def write(tmp_path):
    def write(name, *lines):
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


def errors(evaluation):
    words = evaluation.words
    return words.substitutions, words.deletions, words.insertions, words.reference


def by_id(evaluation):
    return {item.utterance.id: item.words.errors for item in evaluation.scored}


TWO_CHANNELS = (
    "call A 0.0 0.5 hello 0.9",
    "call B 0.2 0.5 yes 0.8",
    "call A 0.6 0.5 there 0.7",
    "call B 0.9 0.5 no 0.6",
)


def test_channels_are_kept_apart(write):
    reference = write("ref.ctm", *TWO_CHANNELS)
    hypothesis = write("hyp.ctm", *TWO_CHANNELS[::-1])
    assert by_id(score_files(reference, hypothesis, SCLITE)) == {"call-A": 0, "call-B": 0}
    other = write("other.ctm", *(line.replace(" B ", " A ") for line in TWO_CHANNELS))
    with pytest.raises(ScoreError, match=r"other\.ctm.*|call-B"):
        score_files(other, hypothesis, SCLITE)


def test_channels_of_files_with_ids(write):
    hypothesis = write("hyp.ctm", *TWO_CHANNELS)
    assert by_id(score_files(write("ref", "call-A hello there", "call-B yes"), hypothesis, SCLITE)) == {
        "call-A": 0,
        "call-B": 1,
    }
    with pytest.raises(ScoreError, match="such as 'call-A'"):
        score_files(write("ref", "call hello there"), hypothesis, SCLITE)
    one = write("one.ctm", "call A 0 1 hello")
    assert by_id(score_files(write("ref", "call hello"), one, SCLITE)) == {"call": 0}
    assert by_id(score_files(write("ref", "call-A hello", "call-B yes"), one, SCLITE)) == {"call-A": 0, "call-B": 1}


def test_numbers_and_letters_name_the_same_channels(write):
    reference = write("ref.ctm", *TWO_CHANNELS)
    numbers = [line.replace(" A ", " 1 ").replace(" B ", " 2 ") for line in TWO_CHANNELS]
    assert score_files(reference, write("hyp.ctm", *numbers), SCLITE).words.errors == 0


def test_a_channel_without_words(write):
    hypothesis = write("hyp.ctm", *(line for line in TWO_CHANNELS if " A " in line))
    assert by_id(score_files(write("ref.ctm", *TWO_CHANNELS), hypothesis, SCLITE)) == {"call-A": 0, "call-B": 2}


@pytest.mark.parametrize("value", ["NA", "na", "-", ""])
def test_a_confidence_that_is_missing(write, value):
    reference = write("ref", "rec hello world")
    words = ("rec A 0.0 0.5 hello 0.9", f"rec A 0.5 0.4 world {value}")
    evaluation = score_files(reference, write("hyp.ctm", *words), SCLITE)
    assert evaluation.words.errors == 0 and evaluation.calibration is None
    further = (f"{words[0]} lex speaker1", "rec A 0.5 0.4 world 0.8 lex speaker1")
    assert score_files(reference, write("hyp.ctm", *further), SCLITE).calibration.words == 2


ALTERNATIVES = (
    "rec A 0.1 0.3 hello",
    "rec A * * <ALT_BEGIN>",
    "rec A 0.5 0.3 um",
    "rec A * * <ALT>",
    "rec A 0.5 0.1 going",
    "rec A 0.6 0.1 to",
    "rec A * * <ALT>",
    "rec A 0.5 0.3 @",
    "rec A * * <ALT_END>",
    "rec A 1.0 0.3 world",
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("hello um world", (0, 0, 0, 3)),
        ("hello going to world", (0, 0, 0, 4)),
        ("hello world", (0, 0, 0, 2)),
        ("hello uh world", (0, 0, 1, 2)),
    ],
)
def test_alternatives_in_ctm(write, words, expected):
    hypothesis = write("hyp.ctm", *(f"rec A {i} 0.5 {word}" for i, word in enumerate(words.split())))
    assert errors(score_files(write("ref.ctm", *ALTERNATIVES), hypothesis, SCLITE)) == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (ALTERNATIVES[:5], "<ALT_BEGIN> without"),
        (ALTERNATIVES[3:5], "hyp.ctm:1: <ALT> out of order"),
        (("rec A 0 0.5 well — 0.9",), "hyp.ctm:1: '—' is not a confidence; is there a space"),
        (("rec A 0 x hello",), "hyp.ctm:1: not 'recording channel"),
        (("rec A nan 0.5 hello",), "hyp.ctm:1: not 'recording channel"),
        (ALTERNATIVES, "only references"),
    ],
)
def test_faulty_ctm(write, lines, message):
    with pytest.raises(ScoreError, match=message):
        score_files(write("ref", "rec hello world"), write("hyp.ctm", *lines), SCLITE)


STM = (
    ";; a comment",
    "rec A spk1 0.0 2.0 <o,f0,male> hello there world",
    "rec A spk2 2.0 4.0 <o,f0,male> IGNORE_TIME_SEGMENT_IN_SCORING",
    "rec A spk1 5.0 7.0 <o,f0,male> good { morning / evening } uh all",
    "rec B spk3 0.0 7.0 yes i do",
)
HYPOTHESIS = (
    "rec A 0.1 0.3 hello 0.9",
    "rec A 0.5 0.3 there NA",
    "rec A 1.9 0.15 word",  # its middle is in the first segment
    "rec A 2.5 0.3 junk",
    "rec A 4.2 0.3 gap",
    "rec A 4.8 0.3 good",
    "rec A 5.5 0.3 evening",
    "rec A 5.9 0.3 all",
    "rec A 8.0 0.3 late",
    "rec B 1.0 0.3 yes",
    "rec B 2.0 0.3 do",
)


def test_words_are_divided_among_segments_as_by_sclite(write):
    evaluation = score_files(write("ref.stm", *STM), write("hyp.ctm", *HYPOTHESIS), SCLITE)
    assert by_id(evaluation) == {"rec-A@0-2": 1, "rec-A@5-7": 3, "rec-B@0-7": 1}
    assert errors(evaluation) == (1, 2, 2, 10)
    assert {group.name for group in evaluation.speakers} == {"spk1", "spk3"}
    assert evaluation.audio_seconds == 11


def test_stm_against_stm(write):
    words = ("rec A x 0.0 2.0 <o> hello their world", "rec A x 5 7 good evening all", "rec B x 0.0 7.0 yes i do")
    evaluation = score_files(write("ref.stm", *STM), write("hyp.stm", *words), SCLITE)
    assert by_id(evaluation) == {"rec-A@0-2": 1, "rec-A@5-7": 1, "rec-B@0-7": 0}
    evaluation = score_files(write("ref.stm", *STM), write("hyp.stm", *words[:2]), SCLITE)
    assert [id for id, _ in evaluation.failures] == ["rec-B"]
    other = ("rec A x 0.0 6.0 hello there world good", "rec A x 6 7 evening uh all", "rec B x 0.0 7.0 yes i do")
    evaluation = score_files(write("ref.stm", *STM), write("hyp.stm", *other), SCLITE)
    assert by_id(evaluation) == {"rec-A": 0, "rec-B@0-7": 0}  # segments that differ are joined


def test_stm_against_files_without_times(write):
    heard = write("hyp", "rec-A hello there world good morning uh", "rec-B yes i do")
    assert by_id(score_files(write("ref.stm", *STM), heard, SCLITE)) == {"rec-A": 1, "rec-B": 0}


TRN = ("hello { there / here } (s1-1)", "{uh/um} yes (s1-2)", "{ um / @ } (well) all (s1-3)", "(s1-4)")


def test_trn(write):
    heard = ("well all (s1-3)", "Hello here (s1-1)", "um yes (s1-2)", "(s1-4)")
    evaluation = score_files(write("ref.trn", *TRN), write("hyp.trn", *heard), SCLITE)
    assert by_id(evaluation) == dict.fromkeys(("s1-1", "s1-2", "s1-3", "s1-4"), 0)
    assert evaluation.words.reference == 6
    kaldi = write("hyp", "s1-1 hello", "s1-2 uh yes", "s1-3 all", "s1-4")
    assert by_id(score_files(write("ref.trn", *TRN), kaldi, SCLITE)) == {"s1-1": 1, "s1-2": 0, "s1-3": 1, "s1-4": 0}
    optional = ScoreConfig(markup=True)
    assert by_id(score_files(write("ref.trn", *TRN), kaldi, optional)) == {"s1-1": 1, "s1-2": 0, "s1-3": 0, "s1-4": 0}


def test_trn_read_as_lines_is_an_error(write):
    files, kaldi = (write("ref.txt", *TRN), write("hyp.txt", *TRN)), write("hyp", "s-1 a")
    with pytest.raises(ScoreError, match=r"ref\.txt: .*TRN.*--reference_format"):
        score_files(*files, SCLITE)
    as_trn = ScoreConfig(reference_format="trn", hypothesis_format="trn")
    assert len(score_files(*files, as_trn).scored) == 4
    spoken = write("a.txt", "he laughed (loudly)", "yes")
    assert score_files(spoken, spoken, SCLITE).words.errors == 0
    with pytest.raises(ScoreError, match=r"ref\.trn:2: not 'WORDS \(UTTERANCE\)'"):
        score_files(write("ref.trn", "a (s-1)", "b"), kaldi, SCLITE)


@pytest.mark.parametrize("line", ["rec A spk 0 x hello", "rec A spk 2 1 hello", "rec A spk"])
def test_faulty_stm(write, line):
    with pytest.raises(ScoreError, match=r"ref\.stm:2: not 'RECORDING CHANNEL SPEAKER"):
        score_files(write("ref.stm", STM[1], line), write("hyp.ctm", *HYPOTHESIS), SCLITE)
