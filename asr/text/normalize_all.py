"""Normalising many transcripts at a time."""

from collections.abc import Sequence

import numpy as np

from asr.text.config import TextConfig
from asr.text.normalizer import ASCII, LONE_APOSTROPHE, normalize

LINES = ASCII[:10] + b"\n" + ASCII[11:]  # the rules of `basic` for ASCII, but with line ends kept
SPACE, LINE_END = b" \n"


def normalize_all(texts: Sequence[str], config: TextConfig) -> list[str]:
    """`normalize` of each text. Those of ASCII alone that 'basic' normalizes take a third of the time together."""
    joined = "\n".join(texts)
    if config.normalizer != "basic" or config.replace or not joined.isascii() or joined.count("\n") >= len(texts):
        return [normalize(text, config) for text in texts]
    lines = LONE_APOSTROPHE.sub(" ", joined.lower().encode().translate(LINES).decode())
    return _single_spaced(lines).split("\n")


def _single_spaced(lines: str) -> str:
    """Lines of ASCII with a single space between words, and none around them."""
    codes = np.frombuffer(f"\n{lines}\n".encode(), np.uint8)
    codes = codes[:-1][(codes[:-1] != SPACE) | (codes[1:] > SPACE)]  # without a space before a space or line end,
    codes = codes[1:][(codes[1:] != SPACE) | (codes[:-1] != LINE_END)]  # nor after a line end
    return codes.tobytes().decode()
