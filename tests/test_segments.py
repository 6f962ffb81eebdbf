"""Segments' confidence: how it follows from the words', its calibration, and what --min_confidence leaves out."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from command_line import COMPLETE
from hypothesis import given
from hypothesis import strategies as st

from asr.data.manifest import Utterance
from asr.evaluation.alignment import score
from asr.evaluation.calibration import calibrate_segments, fit_slope
from asr.output.segments import make_segments, segment_confidence, without_doubtful_segments
from asr.text.config import TextConfig
from asr.transcript import Transcript, Word

TEXT = TextConfig()


def transcript(words, seconds=10.0):
    """Words with a pause between them that makes a segment of each; or several joined by a space, which share one."""
    timed = []
    for place, (texts, confidence) in enumerate(words):
        for number, text in enumerate(texts.split()):
            start = place * seconds + 0.3 * number
            timed.append(Word(text, start, start + 0.2, confidence))
    return Transcript(" ".join(word.text for word in timed), tuple(timed), len(words) * seconds)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.05, 5))
def test_confidence_is_a_probability_that_falls_with_each_word(confidences, slope):
    words = [Word("a", 0, 1, confidence) for confidence in confidences]
    whole = segment_confidence(words, slope)
    assert 0 <= whole <= 1
    assert whole <= segment_confidence(words[1:], slope)


def test_segments_have_the_product_of_their_words():
    segments = make_segments(transcript([("seven drei", 0.5), ("nine", 0.9)]), 1.0)
    assert [(each.text, pytest.approx(each.confidence)) for each in segments] == [("seven drei", 0.25), ("nine", 0.9)]
    assert make_segments(transcript([("seven drei", 0.5)]), 2.0)[0].confidence == pytest.approx(0.0625)


def test_doubtful_segments_are_left_out_and_counted():
    found = transcript([("one two", 0.9), ("three", 0.2), ("four", 0.8)])
    kept = without_doubtful_segments(found, 0.5, 1.0)
    assert (kept.text, [word.text for word in kept.words]) == ("one two four", ["one", "two", "four"])
    assert kept.duration == found.duration
    assert kept.notes == ("1 of 3 segments left out, their confidence is below 0.5",)
    assert without_doubtful_segments(found, 0.1, 1.0) == found
    assert without_doubtful_segments(transcript([]), 0.9, 1.0).text == ""


def scored(*pairs):
    """Utterances of (reference, words with confidence), scored."""
    return score(
        [(Utterance("u", Path("a.wav"), 3.0, reference), transcript(words)) for reference, words in pairs], TEXT
    )


@pytest.mark.parametrize(
    ("reference", "correct"),
    [
        ("one two three", 2),
        ("one two", 1),  # an insertion is a wrong segment
        ("one too three", 1),
        ("one and two three", 1),  # a missing word inside a segment
        ("one two three four", 1),  # behind the last word
        ("zero one two three", 1),  # before the first
    ],
)
def test_a_segment_is_correct_if_nothing_is_wrong_or_missing(reference, correct):
    calibration = calibrate_segments(scored((reference, [("one two", 0.9), ("three", 0.7)])), TEXT, 1.0)
    assert (calibration.words, calibration.correct) == (2, correct)


def test_the_slope_is_that_under_which_the_segments_err():
    generator, pairs = np.random.default_rng(1), []
    for confidence in generator.uniform(0.2, 1.0, 3000):
        right = generator.random() < confidence**2.0
        pairs.append(("yes" if right else "no", [("yes", confidence)]))
    items = scored(*pairs)
    assert fit_slope(items, TEXT) == pytest.approx(2.0, rel=0.1)
    fitted, plain = calibrate_segments(items, TEXT, 2.0), calibrate_segments(items, TEXT, 1.0)
    assert fitted.expected_error < 0.03 < plain.expected_error
    assert fit_slope(scored(("yes", [("yes", 0.5)])), TEXT) == 1.0, "nothing to fit"


def test_nothing_with_a_confidence():
    assert calibrate_segments([], TEXT, 1.0) is None


@pytest.mark.slow
def test_transcribe_leaves_out_doubtful_segments(asr, model_path, noise_file, tmp_path):
    sound = noise_file("a.wav", seconds=3.0)
    result = asr("transcribe", sound, "-m", model_path, "--format", "json")
    assert result.returncode == COMPLETE
    segments = json.loads(result.stdout)["segments"]
    assert segments and all(0 <= each["confidence"] <= 1 for each in segments)
    least = min(each["confidence"] for each in segments)
    everything = asr("transcribe", sound, "-m", model_path, "--min_confidence", least * 0.99)
    assert everything.stdout == asr("transcribe", sound, "-m", model_path).stdout
    most = max(each["confidence"] for each in segments)
    best = asr("transcribe", sound, "-m", model_path, "--min_confidence", most * 0.99)
    kept = [each["text"] for each in segments if each["confidence"] >= most * 0.99]
    assert (best.returncode, best.stdout.split()) == (COMPLETE, " ".join(kept).split())
    assert len(kept) == len(segments) or f"{len(segments) - len(kept)} of {len(segments)} segments" in best.stderr
    steeper = asr("transcribe", sound, "-m", model_path, "--format", "json", "--segment_slope", 2)
    for one, other in zip(segments, json.loads(steeper.stdout)["segments"], strict=True):
        assert other["confidence"] == pytest.approx(math.exp(2 * math.log(one["confidence"])))
