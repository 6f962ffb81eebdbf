"""Weights as 8-bit integers."""

import numpy as np


def rounded_rows(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrices `(..., rows, columns)` as int8, and the float32 scales `(..., rows)` by which to multiply the rows."""
    scales = (np.maximum(np.abs(matrices).max(axis=-1), 1e-8) / 127).astype(np.float32)
    return np.rint(matrices / scales[..., None]).astype(np.int8), scales
