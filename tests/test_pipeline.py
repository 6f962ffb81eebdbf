"""The recognition pipeline reads ahead while the network computes, so that short files are as fast as long ones."""

import contextlib
import threading
import time

import numpy as np
import pytest

from asr.audio.io import AudioPieces
from asr.errors import AudioError
from asr.recognition.pipeline import recognize
from asr.recognition.recognizer import Recognizer

SCORING = 0.2  # seconds that the network takes for a batch
RECORDINGS, BATCH = 80, 4  # recordings of a second each, and how many seconds of them are a batch


@pytest.fixture
def running():
    """Calls of the network that are running now, and the most that ran at once."""
    return {"now": 0, "most": 0}


@pytest.fixture
def recognizer(model_path, monkeypatch, running):
    """A recogniser whose network takes its time, but no processor's."""
    recognizer, lock = Recognizer.load(model_path, "cpu", voice_activity=False), threading.Lock()
    score = recognizer.log_probabilities

    def slowly(features):
        with lock:
            running["now"] += 1
            running["most"] = max(running.values())
        try:
            time.sleep(SCORING * len(features) / BATCH)
            return score(features)
        finally:
            with lock:
                running["now"] -= 1

    monkeypatch.setattr(recognizer, "log_probabilities", slowly)
    return recognizer


def noise(seed, seconds=1.0):
    return np.random.default_rng(seed).standard_normal(int(16000 * seconds)).astype(np.float32)


def recordings(count, reading=lambda: None, seconds=lambda number: 1.0, bad=()):
    @contextlib.contextmanager
    def opened(number):
        reading()
        if number in bad:
            raise AudioError(f"{number}: bad")
        # Noise has no pause: a recording shorter than LONGEST_SEGMENT is one segment.
        samples = noise(number, seconds(number))
        yield AudioPieces(len(samples) / 16000, (), iter([samples]))

    return [(number, lambda number=number: opened(number)) for number in range(count)]


def test_reading_and_the_network_work_at_the_same_time(recognizer, running):
    at_once = []
    sources = recordings(RECORDINGS, reading=lambda: at_once.append(running["now"] > 0) or time.sleep(0.01))
    results = list(recognize(recognizer, recognizer.decoder, sources, BATCH))
    assert [key for key, _ in results] == list(range(RECORDINGS))
    assert sum(at_once) > RECORDINGS / 4, "recordings are read while the network computes"


@pytest.mark.parametrize("cores", [1, 3])
def test_the_network_runs_once_per_core(recognizer, running, cores, monkeypatch):
    monkeypatch.setattr(recognizer._engine, "parallel_calls", cores)
    alone = [recognizer.transcribe(samples).text for samples in map(noise, range(12))]
    results = list(recognize(recognizer, recognizer.decoder, recordings(12), BATCH))
    assert [result.text for _, result in results] == alone
    assert running["most"] == cores


def test_a_long_and_a_bad_recording_hold_up_none_before_them(recognizer):
    heard = []  # seconds
    sources = recordings(12, seconds=lambda number: 270.0 if number == 7 else 0.5, bad=(2, 9))
    results = recognize(recognizer, recognizer.decoder, sources, BATCH, heard.append)
    seen = {key: sum(heard) for key, _ in results}
    assert list(seen) == list(range(12))
    assert max(seen[key] for key in range(7)) < 120 < 270 <= seen[7]
