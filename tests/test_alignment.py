"""The likeliest alignment of tokens, also of text that is longer or shorter than the speech."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asr.decoding.alignment as alignment
from asr.decoding.alignment import Slack, align, align_loosely
from asr.text.tokenizer import frames_needed

NOTHING = -30.0  # nats


def noise(frames, tokens, seed, sharpness=3.0):
    logits = sharpness * np.random.default_rng(seed).standard_normal((frames, tokens))
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def path_score(emission, found):
    """The log-probability of a path: each token in its frames, blanks elsewhere."""
    frames = emission[:, 0].astype(np.float64).copy()
    for token, start, end in zip(found.indices, found.starts, found.ends, strict=True):
        frames[start:end] = emission[start:end, token]
    return frames.sum()


labels = st.lists(st.integers(1, 4), min_size=1, max_size=12)


@pytest.mark.slow
@given(labels, st.integers(0, 40), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_the_path_is_torchaudios(tokens, more, seed):
    import torch
    from torchaudio.functional import forced_align

    emission = noise(frames_needed(tokens) + more, 5, seed)
    found = align(emission, np.array(tokens))
    _, scores = forced_align(torch.from_numpy(emission)[None], torch.tensor([tokens]))
    assert path_score(emission, found) == pytest.approx(float(scores.sum()), rel=1e-4)
    edges = [frame for pair in zip(found.starts, found.ends, strict=True) for frame in pair]
    assert edges == sorted(edges) and all(a < b for a, b in zip(found.starts, found.ends, strict=True))


@given(labels, st.integers(0, 40), st.integers(0, 10**6), st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_parts_give_what_the_whole_gives(tokens, more, seed, cells):
    emission = noise(frames_needed(tokens) + more, 5, seed)
    following = np.arange(1, len(tokens) + 1)
    slack = Slack(emission[:, 0], emission.max(axis=1) - 1, 0.7, np.full(len(tokens), 1.5), following)
    whole, before = align_loosely(emission, np.array(tokens), slack), alignment.MOST_CELLS
    try:
        alignment.MOST_CELLS = cells
        parts = align_loosely(emission, np.array(tokens), slack)
    finally:
        alignment.MOST_CELLS = before
    for one, other in zip(
        (parts[0].starts, parts[0].ends, parts[1]), (whole[0].starts, whole[0].ends, whole[1]), strict=True
    ):
        assert one.tolist() == other.tolist()


def written(words, frames):
    """Log-probabilities `(frames, 27)` that write each word's letters, one a frame, from a frame on; else blanks."""
    emission = np.full((frames, 27), NOTHING, np.float32)
    emission[:, 0] = -0.01
    for word, first in words:
        for offset, letter in enumerate(word):
            emission[first + offset, 0] = NOTHING
            emission[first + offset, ord(letter) - 96] = -0.01
    return emission


def place(words, emission, skip=5.0, extra=3.0, opening=5.0):
    """The first frame of each word, None where it is left out."""
    tokens, skips, following = [], [], []
    for word in words:
        skips += [skip * len(word), *[0.0] * (len(word) - 1)]
        following += [len(tokens) + len(word), *[0] * (len(word) - 1)]
        tokens += [ord(letter) - 96 for letter in word]
    lost = np.maximum(emission[:, 0], emission.max(axis=1) - extra)
    slack = Slack(emission[:, 0].copy(), lost, opening, np.array(skips), np.array(following))
    found, _ = align_loosely(emission, np.array(tokens), slack)
    firsts = np.cumsum([0, *map(len, words)])[:-1]
    return [int(found.starts[i]) if found.ends[i] > found.starts[i] else None for i in firsts]


SPEECH = [("one", 3), ("two", 12), ("three", 20), ("four", 30)]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("one two three four", [3, 12, 20, 30]),
        ("one two extra three four", [3, 12, None, 20, 30]),
        ("zero one two three four five six", [None, 3, 12, 20, 30, None, None]),
        ("one four", [3, 30]),  # speech that the text lacks, in the middle
        ("two three", [12, 20]),  # and around it
        ("seven eight nine", [None, None, None]),
        (" ".join(["word"] * 500 + ["three"] + ["word"] * 500), [*[None] * 500, 20, *[None] * 500]),
        ("two two", [12, None]),
    ],
)
def test_text_and_speech_that_differ(text, places):
    found = place(text.split(), written(SPEECH, 40))
    assert found == places or (text == "two two" and found == places[::-1])


def test_ten_minutes_are_aligned_in_parts():
    """15,000 frames and 7,500 letters: a table of all steps would take 225 MB."""
    words = [("abcde"[i % 5 :] + "abcde"[: i % 5], 10 * i) for i in range(1500)]
    emission = written(words, 15_000)
    assert place([word for word, _ in words], emission) == [first for _, first in words]
