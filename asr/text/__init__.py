"""Text <-> token ids."""

from asr.text.tokenizer import basic, nfc, normalize

__all__ = ["basic", "nfc", "normalize"]
