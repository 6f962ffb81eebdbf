"""Boundaries of words in the sound."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.recognition.word_boundaries import STEP, energies, find_boundaries

spans = st.lists(st.integers(1, 40), min_size=2, max_size=20).map(
    lambda lengths: [(0.02 * a, 0.02 * b) for a, b in itertools.pairwise(np.cumsum(lengths).tolist())]
)


@given(spans, st.integers(0, 10**6), st.floats(0, 30))
@settings(max_examples=60, deadline=None)
def test_words_have_a_length_and_are_not_over_one_another(spans, seed, spread):
    steps = int(spans[-1][1] / STEP) + 10
    random = np.random.default_rng(seed)
    found = find_boundaries(spans, spread * random.standard_normal(steps), random.random(steps) < 0.3)
    assert len(found) == len(spans)
    edges = [edge for span in found for edge in span]
    assert all(a < b for a, b in found) and all(a <= b + 1e-9 for a, b in itertools.pairwise(edges))
    for (start, end), (rough_start, rough_end) in zip(found, spans, strict=True):
        assert start < (rough_start + rough_end) / 2 < end


def test_boundaries_are_at_pauses_and_where_sound_is_weakest():
    rate, random = 8000, np.random.default_rng(0)
    loud = np.full(200, 0.001)  # steps of 10 ms
    loud[30:80] = loud[110:190] = 1.0
    loud[149:151] = 0.3  # two words without a pause
    samples = 0.5 + random.standard_normal(200 * rate // 100) * np.repeat(loud, rate // 100)
    pieces = np.split(samples.astype(np.float32), [1234, 5000])  # as a file is read
    decibels, nowhere = energies(pieces, rate), np.zeros(200, bool)
    found = find_boundaries([(0.2, 0.5), (1.1, 1.3), (1.6, 1.7)], decibels, nowhere)
    assert [round(edge, 2) for span in found for edge in span] == pytest.approx(
        [0.3, 0.8, 1.1, 1.5, 1.5, 1.9], abs=0.021
    )


def test_a_breath_in_a_pause_belongs_to_no_word():
    decibels = np.full(200, -60.0)
    decibels[20:80] = decibels[140:190] = -20.0  # two words
    decibels[95:138] = -40.0  # a breath, up to the second word
    breath = np.zeros(200, bool)
    breath[85:139] = True
    (_, end), (start, _) = find_boundaries([(0.3, 0.7), (1.42, 1.8)], decibels, breath)
    assert (end, start) == pytest.approx((0.8, 1.4), abs=0.021)
    (_, end), (start, _) = find_boundaries([(0.3, 0.7), (1.42, 1.8)], decibels, np.zeros(200, bool))
    assert start < 1.0, "without the network's opinion a breath is sound like any other"
