"""The recognition pipeline reads ahead while the network computes, so that short files are as fast as long ones."""

import contextlib
import time

import numpy as np
import pytest

from asr.audio.io import AudioPieces
from asr.errors import AudioError
from asr.recognition.pipeline import recognize
from asr.recognition.recognizer import Recognizer

READING, HEARING = 0.04, 0.2  # seconds that a recording and a batch take
RECORDINGS, BATCH = 80, 4  # recordings of a second each, and how many seconds of them are a batch


@pytest.fixture
def recognizer(model_path, monkeypatch):
    """A recogniser whose network takes its time, but no processor's."""
    recognizer = Recognizer.load(model_path, "cpu")
    hear = recognizer.log_probabilities

    def slowly(features):
        time.sleep(HEARING * len(features) / BATCH)
        return hear(features)

    monkeypatch.setattr(recognizer, "log_probabilities", slowly)
    return recognizer


def recordings(count, reading=0.0, seconds=lambda number: 1.0, bad=()):
    @contextlib.contextmanager
    def opened(number):
        time.sleep(reading)
        if number in bad:
            raise AudioError(f"{number}: bad")
        # Noise has no pause: a recording shorter than LONGEST_SEGMENT is one segment.
        samples = np.random.default_rng(number).standard_normal(int(16000 * seconds(number))).astype(np.float32)
        yield AudioPieces(len(samples) / 16000, (), iter([samples]))

    return [(number, lambda number=number: opened(number)) for number in range(count)]


def test_reading_and_the_network_work_at_the_same_time(recognizer):
    started = time.perf_counter()
    results = list(recognize(recognizer, recognizer.decoder, recordings(RECORDINGS, READING), BATCH))
    elapsed = time.perf_counter() - started
    assert [key for key, _ in results] == list(range(RECORDINGS))
    reading, hearing = RECORDINGS * READING, RECORDINGS / BATCH * HEARING
    assert elapsed < hearing + 0.6 * reading, "one after the other they take the sum"


def test_a_long_and_a_bad_recording_hold_up_none_before_them(recognizer):
    heard = []  # seconds
    sources = recordings(12, seconds=lambda number: 270.0 if number == 7 else 0.5, bad=(2, 9))
    results = recognize(recognizer, recognizer.decoder, sources, BATCH, heard.append)
    seen = {key: sum(heard) for key, _ in results}
    assert list(seen) == list(range(12))
    assert max(seen[key] for key in range(7)) < 120 < 270 <= seen[7]
