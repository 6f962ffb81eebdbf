"""Live recognition: words that stay are never taken back, come in time, and are those of the recording."""

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.decoding.decoder import DecodedWord
from asr.model.model_file import load_model
from asr.recognition.config import ListenConfig
from asr.recognition.microphone import raw_samples, show
from asr.recognition.recognizer import Recognizer
from asr.recognition.streaming import (
    AVERAGE_SECONDS,
    LEVEL_SECONDS,
    PAUSE_SECONDS,
    START_SECONDS,
    LiveRecognizer,
    Update,
    listen,
)
from asr.transcript import Word


@pytest.fixture(scope="module")
def recognizer(model_path):
    """One that normalizes the features of recordings as those of streams."""
    file = load_model(model_path)
    features = replace(file.features, average_seconds=AVERAGE_SECONDS)
    return Recognizer(replace(file, features=features), "cpu", voice_activity=False)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(16000 * seconds))).astype(np.float32)


def words_of(updates) -> list[Word]:
    return [word for update in updates for word in update.committed]


def test_with_all_ahead_the_words_are_those_of_the_recording(recognizer):
    """Nothing is final before the end then, and the whole recording is recognised at once."""
    samples = noise(5.0)
    updates = list(listen(recognizer, [samples], ListenConfig(look_ahead=60.0, history=60.0)))
    assert not words_of(updates[:-1]) and any(update.partial for update in updates[:-1])
    expected = recognizer.transcribe(samples).words
    assert expected
    assert [word.text for word in words_of(updates)] == [word.text for word in expected]
    assert [word.start for word in words_of(updates)] == pytest.approx([word.start for word in expected], abs=0.041)


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(0, 30000), min_size=1, max_size=6), seed=st.integers(0, 3))
def test_what_comes_does_not_depend_on_the_pieces(recognizer, sizes, seed):
    samples = noise(sum(sizes) / 16000, seed)[: sum(sizes)]
    pieces = np.split(samples, np.cumsum(sizes)[:-1])
    config = ListenConfig(look_ahead=0.3, history=2.0)
    found, expected = (words_of(listen(recognizer, each, config)) for each in (pieces, [samples]))
    assert found == expected


def test_memory_and_work_stay_the_same_over_time(recognizer):
    live = LiveRecognizer(recognizer, ListenConfig(look_ahead=0.5, history=2.0))
    for second in range(40):
        list(live.push(noise(1.0, second)))
        assert len(live._sound) <= 16000 * (LEVEL_SECONDS + 0.5 + 0.32 + 0.1)
        assert sum(map(len, live._segment)) * recognizer.file.frame_seconds < 22


def test_words_are_in_order_and_no_later_than_a_look_ahead_and_a_pause(recognizer):
    config = ListenConfig(look_ahead=0.5, history=4.0)
    updates = list(listen(recognizer, [np.concatenate([noise(3.0), np.zeros(32000, np.float32)])], config))
    words = words_of(updates)
    assert words and [word.start for word in words] == sorted(word.start for word in words)
    for update in updates[:-1]:
        for word in update.committed:
            assert word.end <= update.received - config.look_ahead + recognizer.file.frame_seconds
    assert updates[-1].partial == ""


def test_words_after_the_committed_ones_are_not_lost_when_those_become_one_word(recognizer):
    """What has been committed stays, even if the best hypothesis has changed since."""
    live = LiveRecognizer(recognizer, ListenConfig())
    live._final, live._agreed = 60, ["some", "times"]
    some, times, out = DecodedWord("some", 0, 8, 1.0), DecodedWord("times", 9, 20, 1.0), DecodedWord("out", 30, 40, 1.0)
    assert live._commit([some, times], [some, times], False)[0] == [some, times]
    live._agreed = ["out"]
    words = [DecodedWord("sometimes", 0, 21, 1.0), out]
    assert live._commit(words, words, False)[0] == [out]


def test_no_word_is_final_before_there_is_enough_to_hear_but_words_are_shown(recognizer):
    config = ListenConfig(look_ahead=0.3)
    *early, last = listen(recognizer, [noise(START_SECONDS - 0.1)], config)
    assert not words_of(early) and any(update.partial for update in early)
    assert last.committed


def test_raw_samples_of_another_rate_and_an_odd_number_of_bytes():
    tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    data = (tone * 20000).astype("<i2").tobytes() + b"\x01"
    samples = np.concatenate(list(raw_samples(io.BufferedReader(io.BytesIO(data)), 8000, 16000)))
    assert len(samples) == pytest.approx(16000, abs=20)
    expected = np.sin(2 * np.pi * 440 * np.arange(len(samples)) / 16000) * 20000 / 32768
    assert np.abs(samples - expected)[500:-500].max() < 0.01


class Screen(io.StringIO):
    def __init__(self, terminal: bool):
        super().__init__()
        self.isatty = lambda: terminal


def test_what_is_written(capsys):
    one, two = Word("one", 0.1, 0.3, 0.9), Word("two", 0.5, 0.8, 0.9)
    updates = [
        Update((), "on", False, 0.32, 0.01),
        Update((one,), "tw", False, 1.28, 0.01),
        Update((two,), "", True, 1.92, 0.01),
        Update((), "", True, 2.24, 0.01),
    ]
    file, terminal = Screen(False), Screen(True)
    latency = show(updates, file, " ")
    assert file.getvalue() == "one two\n"
    assert "words final after 1.06 s (median)" in latency.to_text()
    show(updates, terminal, " ")
    assert [line.strip("\n") for line in terminal.getvalue().split("\r\033[K")[1:]] == ["on", "one tw", "one two", ""]


@pytest.mark.slow
def test_as_a_process_that_a_pipe_feeds(model_path, recognizer):
    samples = (noise(4.0) * 32767).astype("<i2")
    command = [sys.executable, "-m", "asr", "listen", "-", "--model", str(model_path), "--look_ahead", "0.5"]
    command.append("--no_voice_activity")  # it is noise
    done = subprocess.run(command, input=samples.tobytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    updates = listen(recognizer, [samples.astype(np.float32) / 32768], ListenConfig(look_ahead=0.5))
    assert done.stdout.decode().split() == [word.text for word in words_of(updates)]
    assert b"4.0 s of audio; words final" in done.stderr
    assert PAUSE_SECONDS < 1
