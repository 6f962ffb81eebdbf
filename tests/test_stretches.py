"""A long recording in stretches has the transcript that it has in one piece."""

import contextlib

import numpy as np
import pytest
from test_pipeline import noise

from asr.audio.io import AudioPieces
from asr.errors import AudioError
from asr.recognition.pipeline import join_segments, recognize
from asr.recognition.recognizer import Recognizer
from asr.recognition.stretches import read_stretches, recognize_stretch

RATE = 16000


def opener(samples, error=None):
    @contextlib.contextmanager
    def opened():
        def pieces():
            yield from np.array_split(samples, 7)
            if error:
                raise error

        yield AudioPieces(len(samples) / RATE, ["mixed"], pieces())

    return opened


@pytest.mark.parametrize("pauses", [True, False])
def test_stretches_joined_are_the_whole(model_path, pauses):
    recognizer = Recognizer.load(model_path, "cpu", voice_activity=False)
    hertz = np.repeat(np.random.default_rng(0).uniform(100, 4000, 2000), RATE // 5)  # a tone after the other
    samples = (0.1 * noise(0, 400) + np.sin(2 * np.pi * np.cumsum(hertz) / RATE)).astype(np.float32)
    if pauses:
        for start in range(0, len(samples), 20 * RATE):
            samples[start : start + RATE] *= 0.001
    ((_, whole),) = recognize(recognizer, recognizer.decoder, [("", opener(samples))], 120)
    stretches = list(read_stretches(opener(samples), RATE, recognizer.frame_samples, 60))
    assert len(stretches) == (6 if pauses else 2), "no longer than needed, but cut only where a segment ends"
    found = [segment for each in stretches for segment in recognize_stretch(recognizer, recognizer.decoder, each, 120)]
    assert join_segments(recognizer, recognizer.decoder, found, stretches[-1].ending) == whole
    assert len(whole.words) >= len(stretches) and whole.duration == 400 and whole.notes == ("mixed",)
    assert all(stretch.ending is None for stretch in stretches[:-1])


def test_a_recording_that_breaks_off_ends_with_its_error(model_path):
    recognizer = Recognizer.load(model_path, "cpu")
    error = AudioError("x.wav: cut short")
    stretches = list(read_stretches(opener(noise(0, 100), error), RATE, recognizer.frame_samples, 30))
    assert stretches[-1].ending.error is error
