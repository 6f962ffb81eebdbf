"""asr.audio.durations: how long recordings are, by a few of them."""

import numpy as np
import pytest
import soundfile

from asr.audio import durations
from asr.audio.durations import seconds_per_byte
from asr.recognition import ray_engine
from asr.utils import storage
from asr.utils.files import write_atomically

SECONDS = (4, 6, 12, 18)
KINDS = {"wav": {}, "flac": {}, "mp3": {}, "opus": {"format": "OGG", "subtype": "OPUS"}}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Their durations by name: noise of several lengths in several formats, in bytes unlike by a factor of nine."""
    folder, random, found = tmp_path_factory.mktemp("durations"), np.random.default_rng(0), {}
    for kind, options in KINDS.items():
        for seconds in SECONDS:
            path = folder / f"{seconds}.{kind}"
            soundfile.write(path, 0.1 * random.standard_normal(seconds * 16000), 16000, **options)
            found[str(path)] = seconds
    return found


def estimate_durations(sizes):
    return durations.estimate_durations(sizes, lambda samples: map(seconds_per_byte, samples))


def sizes(names):
    return {name: storage.identity(name)[1] for name in names}


@pytest.mark.parametrize("opened", [durations.OPENED, 1])
def test_bytes_of_each_format_count_as_its_headers_say(recordings, monkeypatch, opened):
    monkeypatch.setattr(durations, "OPENED", opened)
    found = estimate_durations(sizes(recordings))
    assert found == {name: pytest.approx(seconds, rel=0.1) for name, seconds in recordings.items()}


def test_objects_and_what_cannot_be_read(recordings, tmp_path):
    names = {}
    for name, seconds in recordings.items():
        url = f"memory://durations/{name.rpartition('/')[2]}"
        write_atomically(url, storage.read_bytes(name))
        names[url] = seconds
    broken = tmp_path / "broken.wav"
    broken.write_bytes(bytes(64_000))
    odd = tmp_path / "broken.aiff"
    odd.write_bytes(bytes(64_000))
    found = estimate_durations(sizes([*names, str(broken), str(odd)]))
    assert {name: found[name] for name in names} == {n: pytest.approx(s, rel=0.1) for n, s in names.items()}
    assert found[str(broken)] == pytest.approx(2.0, rel=0.01) and found[str(odd)] == 2.0


def test_few_recordings_are_opened(monkeypatch):
    opened = []
    monkeypatch.setattr(durations, "_seconds", lambda name: opened.append(name) or 1.0)
    found = estimate_durations({f"{number}.wav": 1000 + number for number in range(1000)})
    assert 8 <= len(opened) <= durations.OPENED and sum(found.values()) == pytest.approx(1000, rel=0.05)


def test_groups_for_a_cluster_have_as_many_seconds_in_any_format(recordings, monkeypatch):
    monkeypatch.setattr(ray_engine, "GROUP_SECONDS", 20.0)
    groups = list(ray_engine.group(estimate_durations(sizes(recordings))))
    seconds = [sum(map(recordings.__getitem__, names)) for names in groups]
    assert all(10 <= each <= 22 for each in seconds) and len(groups) > len(KINDS)
    assert {recordings[name] for name in groups[-1]} == {min(SECONDS)} and len(groups[-1]) == len(KINDS)
