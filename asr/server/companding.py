"""Telephone audio (ITU-T G.711): 8 bits per sample, companded."""

import numpy as np


def mu_law(data: bytes) -> np.ndarray:
    """Bytes of mu-law -> samples `(samples,)` from -1 to 1."""
    return _MU[np.frombuffer(data, np.uint8)]


def a_law(data: bytes) -> np.ndarray:
    """Bytes of A-law -> samples `(samples,)` from -1 to 1."""
    return _A[np.frombuffer(data, np.uint8)]


def _mu_table() -> np.ndarray:
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code.astype(np.int32) >> 4) & 7, code.astype(np.int32) & 15
    size = (((mantissa << 3) + 132) << exponent) - 132
    return (np.where(code & 0x80, -size, size) / 32768).astype(np.float32)


def _a_table() -> np.ndarray:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    size = np.where(exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 264) << np.maximum(exponent - 1, 0))
    return (np.where(code & 0x80, size, -size) / 32768).astype(np.float32)


_MU, _A = _mu_table(), _a_table()
