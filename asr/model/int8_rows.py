"""Weights in small files: matrices in int8 with a float16 scale per row, everything else in float16."""

from collections.abc import Mapping

import numpy as np

LEAST = 1e-3  # of the largest value of a row that scales can express


def pack(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays for a file. The scales of a matrix `NAME.weight` are `NAME.scales`, `(rows, 1)`."""
    arrays = {}
    for name, array in weights.items():
        if array.ndim == 2:
            scales = np.maximum(abs(array).max(axis=1, keepdims=True), LEAST).astype(np.float16) / 127
            arrays[_scales(name)] = scales
            arrays[name] = np.rint(array / scales).clip(-127, 127).astype(np.int8)
        else:
            arrays[name] = array.astype(np.float16)
    return arrays


def unpack(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights in float32. Raises `ValueError` for a matrix without scales that fit it."""
    weights, used = {}, set()
    for name, array in arrays.items():
        if array.dtype == np.int8:
            scales = arrays.get(_scales(name))
            if scales is None or scales.shape != (len(array), 1):
                raise ValueError(f"no scales that fit {name}")
            weights[name] = array * scales.astype(np.float32)
            used.add(_scales(name))
        else:
            weights[name] = array.astype(np.float32)
    return {name: array for name, array in weights.items() if name not in used}


def _scales(name: str) -> str:
    return name.replace("weight", "scales")
