"""asr.recognition.ray_long_recording: which stretches are given to workers, without a cluster."""

import sys
from types import SimpleNamespace

import pytest

from asr.errors import AudioError
from asr.recognition.pipeline import Ending
from asr.recognition.ray_long_recording import LongRecording


class DeathError(Exception):
    """Of a process."""


def remote(function):
    return SimpleNamespace(remote=function, options=lambda **options: SimpleNamespace(remote=function))


class Readers:
    """Readers of a recording of `count` stretches; each of `die_at` ends a reader in the place of that stretch."""

    def __init__(self, count, die_at=(), ending=Ending(samples=9)):  # noqa: B008 (frozen)
        self.count, self.die_at, self.ending = count, list(die_at), ending
        self.started = 0

    def start(self):
        self.started += 1
        place = SimpleNamespace(at=-1)

        def read():
            place.at += 1
            if self.die_at and place.at == self.die_at[0]:
                return SimpleNamespace(value=DeathError(self.die_at.pop(0))), None
            ending = self.ending if place.at == self.count - 1 else None
            return SimpleNamespace(value=ending), f"stretch {place.at}"

        return SimpleNamespace(open=remote(lambda name: setattr(place, "at", -1)), read=remote(read))


@pytest.fixture(autouse=True)
def ray(monkeypatch):
    """Ray whose objects are there at once."""

    def get(reference):
        if isinstance(reference.value, Exception):
            raise reference.value
        return reference.value

    errors = SimpleNamespace(RayError=DeathError, RayTaskError=KeyError)
    fake = SimpleNamespace(get=get, wait=lambda refs, **options: (refs, []), exceptions=errors)
    monkeypatch.setitem(sys.modules, "ray", fake)


def given(recording):
    """The numbers of the stretches that it has for workers now."""
    numbers = []
    for _ in range(20):
        if job := recording.next_job():
            ((name, number),) = job.items
            assert name == recording.name and job.arguments == (f"stretch {number}",)
            numbers.append(number)
    return numbers


def test_all_stretches_are_joined_in_their_order():
    recording = LongRecording("x", Readers(3).start)
    assert given(recording) == [0, 1, 2]
    assert recording.add(2, [(7, "c")]) is None and recording.add(0, [(0, "a"), (2, "b")]) is None
    joining = recording.add(1, [])
    assert joining.method == "join" and joining.items == ("x",)
    assert joining.arguments == ([(0, "a"), (2, "b"), (7, "c")], Ending(samples=9))


def test_a_stretch_whose_worker_died_is_given_again_and_no_other():
    recording = LongRecording("x", Readers(4).start)
    first = recording.next_job()
    recording.lose(0, DeathError())
    assert first.items == (("x", 0),) and given(recording) == [1, 2, 3, 0]
    recording.lose(2, DeathError())
    assert given(recording) == [2]
    assert not recording.failure


def test_a_reader_that_died_is_replaced():
    readers = Readers(4, die_at=[2, 3])
    recording = LongRecording("x", readers.start)
    assert given(recording) == [0, 1, 2, 3] and readers.started == 3 and not recording.failure


def test_three_deaths_are_a_failure():
    recording = LongRecording("x", Readers(4, die_at=[1, 1, 1]).start)
    assert given(recording) == [0]
    assert "x: 3 workers died" in recording.failure
    recording = LongRecording("y", Readers(4).start)
    given(recording)
    for _ in range(3):
        assert not recording.failure
        recording.lose(1, DeathError())
    assert "y: 3 workers died" in recording.failure


def test_a_recording_that_cannot_be_read():
    recording = LongRecording("x", Readers(3, ending=Ending(error=AudioError("x: cut short"))).start)
    assert given(recording)[:2] == [0, 1] and recording.failure == "x: cut short"
