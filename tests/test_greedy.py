"""Greedy decoding: golden paths, and the rule itself as a property."""

from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asr.decoding.decoder import words_of
from asr.decoding.greedy import Tokens, blank_rate, greedy

PIECES = ["", " ", "a", "b"]


def emission(path: list[int], certainty: float = 0.9) -> np.ndarray:
    """Log-probabilities `(1, frames, 4)` whose best path is `path`."""
    rest = (1 - certainty) / 3
    return np.log(np.where(np.eye(4)[path] == 1, certainty, rest))[None].astype(np.float32).reshape(1, -1, 4)


def decode(path: list[int]) -> Tokens:
    return greedy(emission(path), np.array([len(path)]))[0]


@given(st.lists(st.integers(0, 3), max_size=30))
def test_merges_repeats_then_drops_blanks(path):
    assert decode(path).indices.tolist() == [token for token, _ in groupby(path) if token != 0]


def test_starts_and_ends_are_those_of_the_run():
    tokens = decode([0, 2, 2, 0, 2, 3, 3, 3])
    assert tokens.indices.tolist() == [2, 2, 3]
    assert tokens.starts.tolist() == [1, 4, 5] and tokens.ends.tolist() == [3, 5, 8]


def test_frames_past_the_length_are_ignored():
    assert greedy(emission([2, 3, 3]), np.array([1]))[0].indices.tolist() == [2]
    assert blank_rate(emission([0, 2, 0, 0]), np.array([3])) == (2, 3)


def test_words_have_times_and_confidence():
    tokens = decode([1, 2, 2, 0, 3, 0, 1, 0, 3, 0])
    first, second = words_of(tokens, PIECES)
    assert (first.text, first.start, first.end) == ("ab", 1, 5)
    assert (second.text, second.start, second.end) == ("b", 8, 9)
    assert abs(first.confidence - 0.9) < 1e-6


def test_a_space_inside_a_piece_begins_a_word():
    tokens = Tokens(np.array([1, 2, 1]), np.array([0, 1, 2]), np.array([1, 2, 3]), np.log([0.25, 1.0, 0.5]))
    words = words_of(tokens, ["", " he", "y"])
    assert [(word.text, word.start, word.end) for word in words] == [("hey", 0, 2), ("he", 2, 3)]
    assert abs(words[0].confidence - 0.5) < 1e-9


def test_confidence_is_that_of_the_surest_frame():
    sharp, dull = emission([2], 0.8), emission([2], 0.6)
    tokens = greedy(np.concatenate([dull, sharp, dull], axis=1), np.array([3]))[0]
    assert abs(np.exp(tokens.log_probabilities[0]) - 0.8) < 1e-6
