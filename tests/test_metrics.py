"""asr.evaluation.metrics: golden alignments, parity with jiwer, the bootstrap, breakdowns and edge cases."""

import math
from datetime import datetime
from pathlib import Path

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.data.manifest import Utterance
from asr.evaluation.alignment import AlignedWord, ErrorCounts, score
from asr.evaluation.bootstrap import bootstrap
from asr.evaluation.metrics import count_confusions, evaluate
from asr.evaluation.terminal import alignment_text, percent, summary_text
from asr.text.config import TextConfig
from asr.transcript import Transcript, Word
from asr.utils.messages import time_text

TEXT = TextConfig(normalizer="basic")
sentences = st.lists(st.sampled_from(["a", "b", "the", "edison", "lamp", "我们", "天", "don't"]), max_size=8).map(
    " ".join
)
spoken = sentences.filter(bool)


def pair(reference, hypothesis, id="u", speaker="", duration=3.0, **extra):
    utterance = Utterance(id, Path("a.wav"), duration, reference, speaker, extra=extra)
    return utterance, Transcript(hypothesis, (), duration)


def evaluated(pairs, **options):
    options = {"text": TEXT, "model": "m.safetensors", "manifests": ["test.jsonl"], "compute_seconds": 3.0, **options}
    return evaluate(pairs, date=datetime(2025, 1, 2), **options)


def test_alignment_golden_text():
    (scored,) = score([pair("The Edison lamp, in the morning", "the addison lamp glows in morning")], TEXT)
    assert alignment_text(scored).plain == (
        "reference    the edison  lamp ***   in the morning\n"
        "hypothesis   the addison lamp glows in *** morning\n"
        "                 S            I        D\n"
    )
    assert [str(word) for word in scored.alignment if word.kind != "equal"] == [
        "edison -> addison",
        "(nothing) -> glows",
        "the -> (nothing)",
    ]
    assert scored.words == ErrorCounts(substitutions=1, deletions=1, insertions=1, reference=6)


def test_alignment_breaks_lines_and_counts_wide_characters():
    (scored,) = score([pair("我们 today go", "我 today went")], TEXT)
    assert alignment_text(scored, width=25).plain == (
        "reference    我们 today\nhypothesis   我   today\n             S\n"
        "reference    go\nhypothesis   went\n             S\n"
    )


def test_alignment_is_coloured_where_it_is_wrong():
    (scored,) = score([pair("one two", "one too")], TEXT)
    assert {str(span.style) for span in alignment_text(scored).spans} == {"bold yellow"}


def test_confusions_golden_text():
    texts = [("edison in the lamp", "addison in lamp")] * 2 + [("edison", "addison"), ("one lamp", "one a lamp")]
    pairs = [pair(*both) for both in [*texts, ("lamp", "lamb")]]
    assert [str(confusion) for confusion in count_confusions(score(pairs, TEXT))] == [
        "edison -> addison (3)",
        "the -> (nothing) (2)",
        "(nothing) -> a (1)",
        "lamp -> lamb (1)",
    ]
    assert [str(confusion) for confusion in evaluated(pairs).most_confused("deletion", 5)] == ["the -> (nothing) (2)"]


@given(st.lists(st.tuples(spoken, sentences), min_size=1, max_size=10))
@settings(max_examples=40, deadline=None)
def test_corpus_rates_are_those_of_jiwer(texts):
    evaluation = evaluated([pair(*both, id=str(i)) for i, both in enumerate(texts)])
    references, hypotheses = zip(*texts, strict=True)
    words = jiwer.process_words(list(references), list(hypotheses))
    assert evaluation.words.rate == pytest.approx(words.wer)
    assert evaluation.words.substitutions == words.substitutions
    assert evaluation.words.deletions == words.deletions
    assert evaluation.words.insertions == words.insertions
    assert evaluation.characters.rate == pytest.approx(jiwer.cer(list(references), list(hypotheses)))


@given(spoken, sentences)
@settings(max_examples=40, deadline=None)
def test_wer_is_zero_only_for_equal_texts(reference, hypothesis):
    (scored,) = score([pair(reference, hypothesis)], TEXT)
    assert (scored.words.rate == 0) == (reference == hypothesis) == (scored.characters.rate == 0)


@given(st.lists(st.tuples(sentences, sentences), max_size=10))
@settings(max_examples=40, deadline=None)
def test_every_count_is_a_sum(texts):
    pairs = [pair(*both, id=str(i), speaker="ab"[i % 2], duration=1.0 + i) for i, both in enumerate(texts)]
    evaluation = evaluated(pairs)
    for parts in (evaluation.scored, evaluation.speakers, evaluation.durations):
        assert ErrorCounts.total(part.words for part in parts) == evaluation.words
    assert sum(confusion.count for confusion in evaluation.confusions) == evaluation.words.errors
    for scored in evaluation.scored:
        assert " ".join(word.reference for word in scored.alignment if word.reference) == scored.reference
        assert " ".join(word.hypothesis for word in scored.alignment if word.hypothesis) == scored.hypothesis


def test_both_sides_are_normalised():
    (scored,) = score([pair("“Café!” -- said", "cafe said")], TextConfig(normalizer="basic", replace={"é": "e"}))
    assert (scored.reference, scored.words.errors) == ("cafe said", 0)
    (scored,) = score([pair("Café", "café")], TextConfig(normalizer="nfc"))
    assert scored.words.errors == 1


def test_reference_without_words_makes_insertions():
    evaluation = evaluated([pair("...", "huh what"), pair("one two", "one two")])
    assert evaluation.scored[0].words == ErrorCounts(insertions=2)
    assert math.isnan(evaluation.scored[0].words.rate)
    assert evaluation.words.rate == 1.0


def test_only_references_without_words():
    evaluation = evaluated([pair("", "huh"), pair("?", "")])
    assert math.isnan(evaluation.words.rate)
    assert evaluation.interval is None
    assert "WER          n/a" in summary_text(evaluation)


def test_empty_hypothesis_and_all_wrong():
    assert score([pair("one two", "")], TEXT)[0].words == ErrorCounts(deletions=2, reference=2)
    assert score([pair("one two", "three four")], TEXT)[0].words.rate == 1.0
    assert score([pair("one", "two three four")], TEXT)[0].words.rate == 3.0
    assert score([], TEXT) == []


def test_interval_contains_the_estimate_and_follows_the_seed():
    errors = np.random.default_rng(1).poisson(1.5, 300)
    words = np.full(300, 12)
    low, high = bootstrap(errors, words)
    assert low < errors.sum() / words.sum() < high
    assert bootstrap(errors, words) == (low, high)
    assert bootstrap(errors, words, seed=1) != (low, high)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=2, max_size=30))
@settings(max_examples=40, deadline=None)
def test_interval_lies_between_the_extreme_utterances(counts):
    errors, words = zip(*counts, strict=True)
    interval = bootstrap(errors, words, rounds=100)
    if any(errors):
        rates = [error / word for error, word in counts]
        assert min(rates) - 1e-9 <= interval[0] <= interval[1] <= max(rates) + 1e-9
    else:
        assert interval is None


def test_interval_does_not_depend_on_the_memory_for_it():
    errors, words = np.arange(2500) % 3, np.full(2500, 7)
    totals = np.random.default_rng(0).integers(2500, size=(1000, 2500))
    rates = errors[totals].sum(axis=1) / words[totals].sum(axis=1)
    assert bootstrap(errors, words) == pytest.approx(np.percentile(rates, [2.5, 97.5]))


def test_interval_over_speakers_is_wider_when_errors_cluster():
    speakers = np.repeat(np.arange(10), 40)
    errors = np.random.default_rng(0).poisson(np.repeat(np.linspace(0, 5, 10), 40))
    words = np.full(400, 10)
    over_utterances, over_speakers = bootstrap(errors, words), bootstrap(errors, words, speakers.tolist())
    assert np.diff(over_speakers) > 2 * np.diff(over_utterances)


@pytest.mark.parametrize(("errors", "words"), [([], []), ([1], [4]), ([0, 0], [3, 4]), ([1, 2], [0, 0])])
def test_no_interval_where_resampling_is_uninformative(errors, words):
    assert bootstrap(errors, words) is None


def test_no_interval_over_one_group():
    assert bootstrap([1, 2], [3, 4], ["anna", "anna"]) is None


def test_speakers_worst_first():
    texts = [("anna", "one two", "one two"), ("ben", "one two", "one"), ("", "one", "none"), ("anna", "two", "two")]
    evaluation = evaluated([pair(said, heard, str(i), speaker) for i, (speaker, said, heard) in enumerate(texts)])
    assert [(group.name, group.utterances) for group in evaluation.speakers] == [
        ("(unknown)", 1),
        ("ben", 1),
        ("anna", 2),
    ]
    assert evaluation.speaker_count == 2
    assert evaluation.interval == evaluation.speaker_interval


def test_unknown_speakers_give_no_breakdown():
    evaluation = evaluated([pair("one two", "one", "1"), pair("one two", "one two", "2")])
    assert evaluation.speakers == ()
    assert evaluation.speaker_interval is None
    assert evaluation.interval == evaluation.utterance_interval is not None
    assert "speakers " not in summary_text(evaluation).replace("over speakers", "")


def test_durations_that_occur_shortest_first():
    evaluation = evaluated([pair("one", "one", str(seconds), duration=seconds) for seconds in (31, 2, 1.9, 20, 5)])
    assert [(group.name, group.utterances) for group in evaluation.durations] == [
        ("0-2 s", 1),
        ("2-5 s", 1),
        ("5-10 s", 1),
        ("20+ s", 2),
    ]


def test_groups_have_an_interval_from_ten_utterances_on():
    pairs = [pair("one two three", "one two" + " three" * (i % 2), str(i), "anna") for i in range(10)]
    (anna,) = evaluated(pairs).speakers
    assert anna.interval[0] < anna.words.rate < anna.interval[1]
    assert evaluated(pairs[:9]).speakers[0].interval is None


def test_worst_utterances():
    pairs = [pair("one two", "one", "a"), pair("one", "one", "b"), pair("one two", "three four", "c")]
    assert [scored.utterance.id for scored in evaluated(pairs).worst(5)] == ["c", "a"]
    assert len(evaluated(pairs).worst(1)) == 1


def test_summary_golden_text():
    pairs = [
        pair("one two three four", "one too three", "1", "anna"),
        pair("five six seven eight", "five six seven eight nine", "2", "ben", synthetic=True),
    ]
    lines = summary_text(evaluated(pairs, failures=[("3", "c.wav: cut short")])).splitlines()
    assert lines == [
        "WER          37.50% (95% interval 25.00% to 50.00%, over speakers)",
        "CER          28.95%",
        "errors       1 substitutions, 1 deletions, 1 insertions in 8 reference words",
        "alignment    levenshtein (costs: substitution 1, deletion 1, insertion 1)",
        "audio        2 utterances, 6.0 s",
        "RTF          0.500 (seconds of computing per second of audio)",
        "speakers     2, from 25.00% (ben) to 50.00% (anna)",
        "decoder      greedy",
        "normalizer   basic",
        "NOTE         1 of 2 utterances are synthetic speech: this says nothing about human speech",
        "NOTE         incomplete: 1 of 3 utterances were not recognised and are excluded from all figures",
        "             3: c.wav: cut short",
    ]


def test_speakers_of_the_training_set_are_a_caveat():
    pairs = [pair("one two", "one", "1", "anna", split_by="utterance"), pair("one two", "one two", "2", "anna")]
    assert evaluated(pairs).caveats == [
        "1 of 2 utterances are by a speaker of the training set: this says nothing about other speakers"
    ]


def test_complete_only_when_every_utterance_was_scored():
    assert evaluated([pair("one", "two")]).complete
    assert not evaluated([pair("one", "two")], failures=[("x", "unreadable")]).complete
    nothing = evaluated([], failures=[(str(i), "unreadable") for i in range(7)])
    assert not nothing.complete
    assert summary_text(nothing).endswith("and 2 more")


def test_small_texts():
    assert [percent(rate) for rate in (0, 0.12345, 2.5, math.nan)] == ["0.00%", "12.35%", "250.00%", "n/a"]
    assert [time_text(seconds) for seconds in (8.12, 720, 19440)] == ["8.1 s", "12.0 min", "5.4 h"]
    assert [AlignedWord(*both).kind for both in (("a", "a"), ("a", "b"), ("a", ""), ("", "b"))] == [
        "equal",
        "substitution",
        "deletion",
        "insertion",
    ]


def heard(reference, words, text=None, **options):
    utterance, _ = pair(reference, "", **options)
    words = tuple(Word(word, 0.0, 0.1, confidence) for word, confidence in words)
    return utterance, Transcript(text or " ".join(word.text for word in words), words, 3.0)


def test_calibration_compares_confidence_with_the_share_of_right_words():
    calibration = evaluated(
        [
            heard("the edison lamp", [("The", 0.95), ("addison", 0.35), ("lamp,", 0.95)]),
            heard("in", [("in", 0.31), ("glows", 0.05)]),
        ]
    ).calibration
    assert (calibration.words, calibration.correct, calibration.left_out) == (5, 3, 0)
    filled = {
        round(each.low, 1): (each.words, each.confidence, each.correct) for each in calibration.bins if each.words
    }
    assert filled == {0.0: (1, 0.05, 0.0), 0.3: (2, pytest.approx(0.33), 0.5), 0.9: (2, 0.95, 1.0)}
    assert calibration.expected_error == pytest.approx((0.05 + 2 * 0.17 + 2 * 0.05) / 5)
    logs = sum(map(math.log, (0.95, 0.65, 0.95, 0.31, 0.95))) / 5
    entropy = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    assert calibration.cross_entropy == pytest.approx(1 + logs / entropy)


def test_confidence_that_is_perfect_or_uninformative():
    right, wrong = ("a", [("a", 1.0)]), ("a", [("b", 0.0)])
    assert evaluated([heard(*right), heard(*wrong)]).calibration.cross_entropy > 0.99
    assert evaluated([heard("a", [(word, 0.5)]) for word in "ab"]).calibration.cross_entropy == pytest.approx(0)
    assert evaluated([heard("a", [(word, 1.0)]) for word in "ab"]).calibration.cross_entropy < -3
    assert math.isnan(evaluated([heard(*right)]).calibration.cross_entropy)


def test_calibration_leaves_out_what_normalisation_splits_or_joins():
    text = TextConfig(normalizer="basic", replace={"mr": "mis ter"})
    pairs = [heard("a mis ter", [("a", 0.9), ("mr", 0.9)], id="x"), heard("a", [("a", 0.8)], id="y")]
    calibration = evaluated(pairs, text=text).calibration
    assert (calibration.words, calibration.left_out) == (1, 1)
    assert evaluated(pairs[:1], text=text).calibration is None


def test_words_without_confidence_have_no_calibration():
    assert evaluated([pair("a", "a")]).calibration is None
    assert evaluated([]).calibration is None
