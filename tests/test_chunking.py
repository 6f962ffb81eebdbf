"""asr.audio.chunking: every output frame of a recording once, and cuts where it is quiet."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.audio.chunking import CONTEXT, LONGEST_CORE, SHORTEST_CORE, cut_windows, find_pause

RATE, FRAME = 1000, 40


def pieces_of(samples: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(samples, np.cumsum(sizes)[:-1])


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(0, 40 * RATE), max_size=8), seed=st.integers(0, 9))
def test_cores_cover_the_recording_once_and_context_is_around_them(sizes, seed):
    samples = np.random.default_rng(seed).standard_normal(sum(sizes)).astype(np.float32)
    windows = list(cut_windows(pieces_of(samples, sizes) if sizes else [], RATE, FRAME))
    start = 0
    for window in windows[:-1]:
        assert SHORTEST_CORE * RATE <= window.frames * FRAME <= LONGEST_CORE * RATE
        assert len(window.samples) == (window.skip + window.frames) * FRAME + CONTEXT * RATE
        assert window.skip * FRAME == min(start, CONTEXT * RATE)
        own = samples[start - window.skip * FRAME :][: len(window.samples)]
        np.testing.assert_allclose(window.samples, own - own.mean(), atol=1e-5)
        start += window.frames * FRAME
    last = windows[-1]
    assert last.frames is None and last.ends_segment
    assert start - last.skip * FRAME + len(last.samples) == len(samples)
    assert len(last.samples) <= (LONGEST_CORE + 2 * CONTEXT) * RATE


def test_a_short_recording_is_one_window():
    samples = np.ones(33 * RATE - 1, np.float32)
    (window,) = cut_windows([samples], RATE, FRAME)
    assert window.skip == 0 and len(window.samples) == len(samples) and np.all(window.samples == 0)


@pytest.mark.parametrize(("level", "pause"), [(0.0, True), (0.05, True), (0.5, False)])
def test_the_cut_is_in_the_quietest_stretch_and_marks_silence(level, pause):
    samples = np.random.default_rng(0).standard_normal(10 * RATE)
    samples[4000:4500] *= level
    offset, found = find_pause(samples, RATE, FRAME)
    assert 4100 <= offset <= 4400 and offset % FRAME == 0 and found == pause


def test_digital_silence_is_a_pause():
    assert find_pause(np.zeros(10 * RATE), RATE, FRAME)[1]
