"""`asr record` without a microphone: prompts, answers, the checks of a recording, and what is written."""

import io
import threading

import numpy as np
import pytest
import soundfile
from command_line import COMPLETE, ERROR, assert_told

from asr.errors import AudioError, ConfigError
from asr.recognition.prompts import RATE, faults, read_prompts, record


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("turn on  the light\n\nstop\n")
    return path


def speech(amplitude: float, seconds: float = 2.0) -> np.ndarray:
    return (amplitude * np.sin(700 * np.arange(round(RATE * seconds)) / RATE)).astype(np.float32)


class Session:
    """A microphone that gives one sound per recording, and a user who ends a recording once it has given all of it."""

    def __init__(self, sounds, answers):
        self.sounds, self.replies, self.given = iter(sounds), iter(answers), threading.Event()

    def microphone(self):
        yield from np.array_split(next(self.sounds), 4)
        self.given.set()

    def answer(self) -> str:
        reply = next(self.replies)
        if reply == "end":
            assert self.given.wait(60)
            self.given.clear()
        return "\n" if reply == "end" else f"{reply}\n"

    def run(self, prompts) -> tuple[int, str]:
        screen = io.StringIO()
        return record(prompts, self.microphone, RATE, self.answer, screen), screen.getvalue()


def test_recordings_lie_beside_their_texts(prompts, tmp_path):
    read = read_prompts(prompts, tmp_path / "mine", "ann")
    session = Session([speech(0.5), speech(0.4)], ["", "end", "", "", "end", ""])
    count, screen = session.run(read)
    assert count == 2 and "turn on the light" in screen and screen.count("good") == 2
    assert (tmp_path / "mine/ann/0001.txt").read_text() == "turn on the light\n"
    samples, rate = soundfile.read(tmp_path / "mine/ann/0002.wav")
    assert rate == RATE and np.allclose(samples, speech(0.4), atol=1e-4)
    assert Session([], []).run(read)[0] == 0  # nothing is left to record


def test_a_recording_is_repeated_skipped_or_left(prompts, tmp_path):
    read = read_prompts(prompts, tmp_path / "mine", "ann")
    count, _ = Session([speech(0.001), speech(0.5)], ["", "end", "r", "", "end", "", "s"]).run(read)
    assert count == 1 and [prompt.done for prompt in read] == [True, False]
    assert np.abs(soundfile.read(read[0].sound)[0]).max() > 0.4
    assert Session([], ["q"]).run(read)[0] == 0


@pytest.mark.parametrize(
    "samples, fault",
    [
        (speech(0.5), ""),
        (speech(0.001), "too quiet"),
        (np.clip(speech(3.0), -1, 1), "clipped"),
        (speech(0.5, 0.1), "too short"),
        (speech(0.5, 0), "nothing"),
    ],
)
def test_faults_of_a_recording(samples, fault):
    found = faults(samples, RATE, "turn on the light")
    assert len(found) == bool(fault) and fault in " ".join(found)


def test_no_microphone_is_an_error_and_nothing_is_written(prompts, tmp_path):
    def none():
        raise AudioError("microphone: none")
        yield

    with pytest.raises(AudioError, match="microphone"):
        record(read_prompts(prompts, tmp_path / "mine", "ann"), none, RATE, lambda: "", io.StringIO())
    assert not (tmp_path / "mine").exists()


def test_prompts_that_have_changed_are_not_mixed_with_recordings_of_others(prompts, tmp_path):
    read = read_prompts(prompts, tmp_path / "mine", "ann")
    Session([speech(0.5)], ["", "end", "", "q"]).run(read)
    prompts.write_text("another sentence\n")
    with pytest.raises(ConfigError, match=r"0001\.txt: is of another sentence"):
        read_prompts(prompts, tmp_path / "mine", "ann")


def test_the_command_quits_at_the_end_of_its_input(asr, prompts, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    result = asr("record", prompts, "-o", tmp_path / "mine")
    assert result.returncode == COMPLETE and "0 of 2" in result.stdout
    assert_told(asr("record", tmp_path / "none.txt", "-o", tmp_path / "mine"), ERROR, "none.txt")
    assert_told(asr("record", prompts, "-o", tmp_path / "mine", "--speaker", "../x"), ERROR, "--speaker")
