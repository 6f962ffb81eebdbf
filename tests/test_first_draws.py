"""asr.utils.first_draws: what NumPy's own generators draw."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asr.utils.first_draws import first_integers

KEYS = st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 9), min_size=1, max_size=3)


@given(key=KEYS, count=st.integers(0, 20), end=st.integers(1, 9) | st.integers(2**31, 2**32 - 1))
def test_all_draw_what_each_draws(key, count, end):
    expected = [int(np.random.default_rng((*key, index)).integers(end)) for index in range(count)]
    assert first_integers(tuple(key), count, end).tolist() == expected


def test_keys_of_any_size():
    assert first_integers((2**40,), 1, 5).tolist() == [np.random.default_rng((2**40, 0)).integers(5)]
