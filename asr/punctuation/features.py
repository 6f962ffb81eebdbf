"""Words -> features by hashing, so that words which training never saw have some, too.

A word is two hashes of itself, so that two words hardly ever share both (Svenstrup et al. 2017), and one of each of its
first and last letters (n-grams at its ends, as in fastText, Bojanowski et al. 2017).
"""

import zlib
from collections.abc import Sequence

import numpy as np

PREFIXES = (1, 2, 3, 4)  # letters
SUFFIXES = (1, 2, 3, 4)
FEATURES = 2 + len(PREFIXES) + len(SUFFIXES)


def word_features(words: Sequence[str], buckets: int) -> np.ndarray:
    """`(words, FEATURES)` int64: the rows of the embedding table, of this many `buckets`, that make up each word."""
    return np.array([[zlib.crc32(key.encode()) % buckets for key in _keys(word)] for word in words], np.int64).reshape(
        len(words), FEATURES
    )


def _keys(word: str) -> list[str]:
    prefixes = [f"{word[:size]}-" for size in PREFIXES]
    suffixes = [f"-{word[-size:]}" for size in SUFFIXES]
    return [f"1{word}", f"2{word}", *prefixes, *suffixes]
