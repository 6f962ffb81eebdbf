"""asr.evaluation.evaluate_model: durations that the manifest claims wrongly."""

from pathlib import Path

from asr.data.manifest import Utterance
from asr.evaluation.evaluate_model import correct_durations
from asr.transcript import Transcript


def pair(id, claimed, recorded):
    return Utterance(id, Path("a.wav"), claimed, "one"), Transcript("one", (), recorded)


def test_durations_of_the_recordings_count_and_wrong_ones_are_named():
    pairs, notes = correct_durations([pair("right", 5.0, 5.0), pair("rounded", 5.0, 5.05), pair("wrong", 3.0, 31.0)])
    assert [utterance.duration for utterance, _ in pairs] == [5.0, 5.0, 31.0]
    (note,) = notes
    assert "1, such as 'wrong' 3.00 s instead of 31.00 s" in note
    assert correct_durations(pairs) == (pairs, [])
