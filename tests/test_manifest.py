"""asr.data.manifest: reading, writing and splitting manifests, and the errors for broken ones."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.data import manifest_lines, missing_recordings
from asr.data.manifest import (
    Utterance,
    load_utterance,
    read_manifest,
    read_manifests,
    split_by_speaker,
    total_hours,
    write_manifest,
)
from asr.errors import AudioError, ManifestError

GOOD = {"id": "a", "audio_filepath": "a.wav", "duration": 1.5, "text": "one"}


def write_lines(path, *lines):
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_round_trip(tmp_path):
    utterances = [
        Utterance("a", tmp_path / "audio" / "a b.wav", 1.25, "Ça va?  — oui", "s1"),
        Utterance("b", tmp_path / "audio" / "talk.flac", 2.5, "今天", "s2", offset=0.0),
        Utterance("c", tmp_path / "audio" / "talk.flac", 0.5, "two", offset=12.25, extra={"accent": "en", "n": [1]}),
    ]
    path = write_manifest(tmp_path / "deep" / "train.jsonl", utterances)
    read = read_manifest(path)
    assert [u.audio_filepath.resolve() for u in read] == [u.audio_filepath for u in utterances]
    for field in ("id", "duration", "text", "speaker", "offset", "extra"):
        assert [getattr(u, field) for u in read] == [getattr(u, field) for u in utterances]
    assert json.loads(path.read_text().splitlines()[0]) == {
        "id": "a",
        "audio_filepath": "../audio/a b.wav",
        "duration": 1.25,
        "text": "Ça va?  — oui",
        "speaker": "s1",
    }


def test_a_manifest_behind_a_symbolic_link_is_replaced_with_right_paths(tmp_path):
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "far" / "away" / "old.jsonl").write_text("old")
    (tmp_path / "train.jsonl").symlink_to(tmp_path / "far" / "away" / "old.jsonl")
    write_manifest(tmp_path / "train.jsonl", [Utterance("a", tmp_path / "a.wav", 1.0, "one")])
    assert read_manifest(tmp_path / "train.jsonl")[0].audio_filepath == tmp_path / "a.wav"
    assert (tmp_path / "far" / "away" / "old.jsonl").read_text() == "old"


def test_nemo_manifests_without_ids(tmp_path):
    first = {"audio_filepath": "x/a.wav", "duration": 1, "text": "one"}
    second = first | {"offset": 2.5, "duration": 3, "lang": "en"}
    utterances = read_manifest(write_lines(tmp_path / "m.json", first, "", second))
    assert [u.id for u in utterances] == ["x/a.wav", "x/a.wav@2.5"]
    assert [u.offset for u in utterances] == [None, 2.5]
    assert utterances[1].extra == {"lang": "en"}
    assert total_hours(utterances) == pytest.approx(4 / 3600)


@pytest.mark.parametrize(
    "line, reason",
    [
        ('{"id": "b", "audio_fil', "not JSON"),
        ("[1, 2]", "not a JSON object"),
        (GOOD | {"audio_filepath": None}, "'audio_filepath' is missing or of the wrong type"),
        ({"id": "b", "audio_filepath": "b.wav", "text": "two"}, "'duration' is missing or of the wrong type"),
        (GOOD | {"duration": "1.5"}, "'duration' is missing or of the wrong type"),
        (GOOD | {"duration": True}, "'duration' is missing or of the wrong type"),
        (GOOD | {"duration": 0}, "'duration' is 0, not a positive number"),
        (GOOD | {"text": 7}, "'text' is missing or of the wrong type"),
        (GOOD | {"offset": "start"}, "'offset' is 'start', not a number"),
        (GOOD | {"offset": -1}, "'offset' is -1, not a number"),
        (GOOD | {"offset": [1]}, "'offset' is [1], not a number"),
        (GOOD, "duplicate id 'a', first on line 1"),
    ],
)
def test_broken_lines_are_named(tmp_path, line, reason):
    path = write_lines(tmp_path / "m.jsonl", GOOD, "", line)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}:3: {reason}")
    assert "\n" not in str(caught.value)


def test_further_broken_lines_are_counted(tmp_path):
    path = write_lines(tmp_path / "m.jsonl", "x", GOOD, "y", "z")
    with pytest.raises(ManifestError, match=r"m\.jsonl:1: not JSON.*and 2 more such lines"):
        read_manifest(path)


def test_lines_are_counted_through_blocks_of_any_kind(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest_lines, "BLOCK", 200)
    lines = [
        GOOD | {"id": f"{number}", "text": "é"} | ({"accent": "en"} if number == 40 else {}) for number in range(99)
    ]
    utterances = read_manifest(write_lines(tmp_path / "m.jsonl", *lines))
    assert [u.id for u in utterances] == [line["id"] for line in lines] and {u.text for u in utterances} == {"é"}
    assert [u.extra for u in utterances][39:42] == [{}, {"accent": "en"}, {}]
    with pytest.raises(ManifestError, match=r"m\.jsonl:52: 'duration' is 0.*and 2 more such lines"):
        read_manifest(
            write_lines(tmp_path / "m.jsonl", *lines[:51], GOOD | {"duration": 0}, *lines[51:], "x", lines[3])
        )


def test_missing_recordings_are_named_when_asked_for(tmp_path):
    path = write_lines(tmp_path / "m.jsonl", GOOD, GOOD | {"id": "b", "audio_filepath": "b.wav"})
    (tmp_path / "a.wav").touch()
    assert len(read_manifest(path)) == 2
    with pytest.raises(ManifestError, match=r"m\.jsonl:2: no such recording: .*b\.wav"):
        read_manifest(path, check_audio=True)


def test_recordings_are_found_wherever_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(missing_recordings, "MOST_ENTRIES", 2)  # of folders that hold many more files than are sought
    monkeypatch.setattr(missing_recordings, "CHUNK", 3)
    folder = tmp_path / "corpus"
    for name in [*(f"crowd/{number}.wav" for number in range(20)), "a.wav", "deep/er/b.wav", "../c.wav"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "link.wav").symlink_to("a.wav")
    (folder / "deep.wav").mkdir()
    (folder / "dead.wav").symlink_to("nothing")
    there = ["a.wav", "deep/er/b.wav", "../c.wav", "./a.wav", str(folder / "a.wav"), "link.wav", "s3://bucket/x.wav"]
    there += [f"crowd/{number}.wav" for number in (19, 3)]
    names = [*there, "deep.wav", "dead.wav", "no/a.wav", "deep/a.wav"]
    path = write_lines(folder / "m.jsonl", *(GOOD | {"id": name, "audio_filepath": name} for name in names))
    with pytest.raises(ManifestError, match=r"m\.jsonl:10: no such recording: .*deep\.wav \(and 3 more such lines\)"):
        read_manifest(path, check_audio=True)
    write_lines(path, *(GOOD | {"id": name, "audio_filepath": name} for name in there))
    assert len(read_manifest(path, check_audio=True)) == len(there)


def test_a_byte_order_mark_and_odd_characters_in_texts(tmp_path):
    text = "one\u2028two\x85\u2029three"
    (tmp_path / "m.jsonl").write_text("\ufeff" + json.dumps(GOOD | {"text": text}, ensure_ascii=False) + "\r\n")
    assert [u.text for u in read_manifest(tmp_path / "m.jsonl")] == [text]


@pytest.mark.parametrize(
    ("value", "speaker"),
    [(0, "0"), (0.0, "0.0"), (7, "7"), ("0", "0"), (None, ""), ("", ""), (False, None), ([], None)],
)
def test_speakers_of_any_kind(tmp_path, value, speaker):
    path = write_lines(tmp_path / "m.jsonl", GOOD | {"speaker": value})
    if speaker is None:
        with pytest.raises(ManifestError, match=r"m\.jsonl:1: 'speaker' is"):
            read_manifest(path)
    else:
        assert read_manifest(path)[0].speaker == speaker


@pytest.mark.parametrize(("claimed", "is_right"), [(2.0, True), (2.09, True), (1.85, False), (3.0, False)])
def test_the_claimed_duration_must_be_that_of_the_recording(tmp_path, claimed, is_right):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000) + 0.1, 8000)
    (utterance,) = read_manifest(write_lines(tmp_path / "m.jsonl", GOOD | {"duration": claimed}))
    if is_right:
        assert load_utterance(utterance, 8000).duration == 2.0
    else:
        with pytest.raises(AudioError, match=rf"a\.wav: lasts 2\.00 s.*'a'.*{claimed:.2f} s.*asr prepare table"):
            load_utterance(utterance, 8000)


def test_missing_and_empty_manifests(tmp_path):
    with pytest.raises(ManifestError, match=r"none\.jsonl: no such file"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(ManifestError, match=r"m\.jsonl: no utterances in it"):
        read_manifest(write_lines(tmp_path / "m.jsonl", "", " "))


def test_an_id_in_two_manifests(tmp_path):
    paths = [write_lines(tmp_path / name, GOOD) for name in ("one.jsonl", "two.jsonl")]
    with pytest.raises(ManifestError, match=r"one\.jsonl.*two\.jsonl: id 'a' is in more than one"):
        read_manifests(paths)


SPEAKERS = st.sampled_from(["", "anna", "ben", "carl", "dora", "emil", "frida"])


@given(
    st.lists(st.tuples(SPEAKERS, st.floats(0.5, 20)), min_size=1, max_size=40),
    st.sampled_from([{"dev": 0.1}, {"test": 0.5}, {"dev": 0.1, "test": 0.2}]),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_splits_share_no_speaker_and_lose_nothing(drawn, shares, seed, shuffler: random.Random):
    utterances = [Utterance(str(n), Path("a.wav"), seconds, "x", name) for n, (name, seconds) in enumerate(drawn)]
    names = {utterance.speaker for utterance in utterances}
    key = (lambda u: u.id) if len(names) == 1 else (lambda u: u.speaker or u.id)  # one speaker is split by utterance
    speakers = {key(utterance) for utterance in utterances}
    if len(speakers) <= len(shares):
        with pytest.raises(ManifestError, match="cannot be split"):
            split_by_speaker(utterances, shares, seed)
        return
    split = split_by_speaker(utterances, shares, seed)
    assert set(split) == {"train", *shares}
    heard = [{key(utterance) for utterance in part} for part in split.values()]
    assert sum(map(len, heard)) == len(speakers) == len(set().union(*heard))
    assert all(heard)
    assert sorted(u.id for part in split.values() for u in part) == sorted(u.id for u in utterances)
    shuffler.shuffle(utterances)
    assert split_by_speaker(utterances, shares, seed) == split


def test_splits_come_near_their_shares():
    utterances = [Utterance(str(n), Path("a.wav"), 10.0, "x", f"s{n % 50}") for n in range(500)]
    split = split_by_speaker(utterances, {"dev": 0.1, "test": 0.2})
    assert {name: len(part) for name, part in split.items()} == {"train": 350, "dev": 50, "test": 100}
    assert split_by_speaker(utterances, {"dev": 0.1, "test": 0.2}, seed=1) != split


def test_one_speaker_is_split_by_utterance():
    utterances = [Utterance(str(n), Path("a.wav"), 10.0, "x", "anna") for n in range(100)]
    split = split_by_speaker(utterances, {"dev": 0.1, "test": 0.2})
    assert {name: len(part) for name, part in split.items()} == {"train": 70, "dev": 10, "test": 20}
    assert len({u.id for part in split.values() for u in part}) == 100
