"""Normalised text <-> token ids; lexicons."""

from asr.text.normalizer import basic, nfc, normalize

__all__ = ["basic", "nfc", "normalize"]
