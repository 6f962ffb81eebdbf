"""Weights in int8: they survive a file, and files with the first names of scales are read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asr.model.quantization import matrices, pack, unpack

MATRICES = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.floats(-1e4, 1e4, width=32))


@given(matrix=MATRICES)
def test_rounding_moves_values_by_half_a_step_and_only_once(matrix):
    weights = {"a.weight": matrix, "a.bias": matrix[0].astype(np.float16).astype(np.float32)}
    packed = pack(weights, matrices(weights))
    found = unpack(packed)
    step = np.maximum(abs(matrix).max(axis=1, keepdims=True), 1e-8) / 127
    assert (abs(found["a.weight"] - matrix) <= 0.501 * step).all()
    np.testing.assert_array_equal(found["a.bias"], weights["a.bias"])
    again = pack(found, matrices(found))
    for name, array in packed.items():
        np.testing.assert_array_equal(again[name], array)


@pytest.mark.parametrize("name", ["head.weight", "layers.0.weight_hh_l0"])
def test_scales_by_their_first_names(name):
    packed = {name: np.array([[127, -1], [2, 127]], np.int8)}
    old = {name.replace("weight", "scales"): np.array([[0.5], [2]], np.float16)}
    [(found, array)] = unpack(packed | old).items()
    assert found == name
    np.testing.assert_array_equal(array, [[63.5, -0.5], [4, 254]])


@pytest.mark.parametrize("scales", [{}, {"w.scales": np.ones(3, np.float32)}])
def test_scales_that_are_missing_or_do_not_fit(scales):
    with pytest.raises(ValueError, match="scales"):
        unpack({"w": np.ones((2, 2), np.int8)} | scales)
