"""Weights in small files and graphs: matrices in int8 with a float32 scale per row, everything else in float16."""

from collections.abc import Collection, Mapping

import numpy as np

SCALES = ".scales"  # added to the name of an int8 matrix: those of its rows


def rounded_rows(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrices `(..., rows, columns)` as int8, and the float32 scales `(..., rows)` by which to multiply the rows."""
    scales = (np.maximum(np.abs(matrices).max(axis=-1), 1e-8) / 127).astype(np.float32)
    return np.rint(matrices / scales[..., None]).astype(np.int8), scales


def pack(weights: Mapping[str, np.ndarray], rounded: Collection[str]) -> dict[str, np.ndarray]:
    """Arrays for a file: the matrices named in `rounded` in int8 with their scales, the others in float16."""
    arrays = {}
    for name, array in weights.items():
        if name in rounded:
            arrays[name], arrays[name + SCALES] = rounded_rows(array)
        else:
            arrays[name] = array.astype(np.float16)
    return arrays


def unpack(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights in float32. Raises `ValueError` for an int8 matrix without scales that fit it."""
    rounded = {name: _scales(name, arrays) for name, array in arrays.items() if array.dtype == np.int8}
    weights = {name: array.astype(np.float32) for name, array in arrays.items() if name not in rounded.values()}
    for name, scales in rounded.items():
        if arrays[scales].size != len(arrays[name]):
            raise ValueError(f"{scales} do not fit {name}")
        weights[name] *= arrays[scales].astype(np.float32).reshape(-1, 1)
    return weights


def matrices(weights: Mapping[str, np.ndarray]) -> set[str]:
    """The names of all matrices."""
    return {name for name, array in weights.items() if array.ndim == 2}


def _scales(name: str, arrays: Mapping[str, np.ndarray]) -> str:
    """The name of a matrix's scales. The first punctuation models have NAME.scales of NAME.weight."""
    for scales in (name + SCALES, name.replace("weight", "scales")):
        if scales != name and scales in arrays:
            return scales
    raise ValueError(f"no scales of {name}")
