"""asr.data.prepare: manifests, summary and subsets, and that a set of manifests is written whole or not at all."""

import json
import os
from pathlib import Path

import pytest
from candidates import sound
from small_corpus import json_lines, line, table

from asr.data.config import PrepareConfig, SplitConfig, SyntheticConfig
from asr.data.corpora.base import Candidate
from asr.data.manifest import read_manifest
from asr.data.prepare import prepare
from asr.errors import ConfigError, ManifestError


def test_manifest_and_summary(corpus, output, capsys):
    source = table(
        corpus / "train.jsonl",
        line("a", text="Don't  STOP, café!", speaker="anna", accent="en"),
        line("b", "talk.flac", "one", speaker="ben", offset=0, duration=2),
        line("c", "talk.flac", "two", offset=7.5, duration=2.5),
    )
    summary = prepare("table", source, output, PrepareConfig())
    assert json_lines(output / "train.jsonl") == [
        {
            "id": "a",
            "audio_filepath": "../corpus/a.wav",
            "duration": 1.0,
            "text": "Don't  STOP, café!",
            "speaker": "anna",
            "accent": "en",
        },
        {
            "id": "b",
            "audio_filepath": "../corpus/talk.flac",
            "duration": 2.0,
            "text": "one",
            "speaker": "ben",
            "offset": 0.0,
        },
        {
            "id": "c",
            "audio_filepath": "../corpus/talk.flac",
            "duration": 2.5,
            "text": "two",
            "speaker": "",
            "offset": 7.5,
        },
    ]
    assert len(read_manifest(output / "train.jsonl", check_audio=True)) == 3
    assert (output / "rejects.jsonl").read_bytes() == b""
    train = {
        "hours": 0.0015,
        "utterances": 3,
        "speakers": 2,
        "without_speaker": 1,
        "words": 5,
        "characters": len("don't stop café") + len("one") + len("two"),
    }
    written = json.loads((output / "summary.json").read_text())
    assert written == {
        "layout": "table",
        "source": source,
        "synthetic": False,
        "split_by_speaker": False,
        "split_by_utterance": False,
        "subsets": {"train": train},
        "rejects": 0,
        "rejects_by_kind": {},
        "numbers_written_out": 0,
        "corrected_durations": 0,
        "unknown_characters": {},
        "shards": {},
        "written": ["train.jsonl", "rejects.jsonl", "summary.json"],
    }
    assert summary.rejects == 0
    assert summary.written == tuple(output / name for name in written["written"])
    assert summary.to_text().splitlines() == [
        "subset  hours  utterances  speakers  words  characters",
        "train   0.002           3         2      5          21",
        "rejected: 0",
        f"written: {output}/train.jsonl, {output}/rejects.jsonl, {output}/summary.json",
    ]
    assert capsys.readouterr() == ("", "")  # no progress bar where there is no terminal


def test_subsets_of_the_corpus(tmp_path, output):
    for subset, speaker in (("dev-clean", "84"), ("train-clean-5", "19")):
        sound(tmp_path / f"libri/{subset}/{speaker}/1/{speaker}-1-0.flac")
        (tmp_path / f"libri/{subset}/{speaker}/1/{speaker}-1.trans.txt").write_text(f"{speaker}-1-0 YES\n")
    summary = prepare("librispeech", str(tmp_path / "libri"), output, PrepareConfig())
    assert sorted(path.name for path in output.iterdir()) == [
        "dev-clean.jsonl",
        "rejects.jsonl",
        "summary.json",
        "train-clean-5.jsonl",
    ]
    assert list(summary.subsets) == ["dev-clean", "train-clean-5"]
    assert read_manifest(output / "dev-clean.jsonl")[0].speaker == "84"


def test_split_by_speaker(corpus, output):
    records = [line(f"{speaker}{n}", speaker=speaker) for speaker in "abcdefgh" for n in range(3)]
    source = table(corpus / "all.jsonl", *records, line("nobody"))
    config = PrepareConfig(split=SplitConfig(dev=0.1, test=0.2))
    summary = prepare("table", source, output, config)
    heard = [{u.speaker for u in read_manifest(output / f"{name}.jsonl")} for name in ("train", "dev", "test")]
    assert sum(map(len, heard)) == len(set().union(*heard))
    assert sum(subset.utterances for subset in summary.subsets.values()) == 25
    assert not (output / "all.jsonl").exists()
    assert "utterances without a speaker: 1, each split as a speaker of its own" in summary.to_text()
    first = {path.name: path.read_bytes() for path in output.iterdir()}
    table(corpus / "all.jsonl", line("nobody"), *records[::-1])
    prepare("table", source, output, config)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == first


def test_too_few_speakers_to_split(corpus, output):
    source = table(corpus / "all.jsonl", *(line(str(n), speaker="ab"[n % 2]) for n in range(9)))
    with pytest.raises(ManifestError, match="2 speakers cannot be split into train, dev, test without sharing one"):
        prepare("table", source, output, PrepareConfig(split=SplitConfig(dev=0.1, test=0.1)))
    source = table(corpus / "all.jsonl", line("a", speaker="anna"))
    with pytest.raises(ManifestError, match="1 utterances cannot be split into train, dev"):
        prepare("table", source, output, PrepareConfig(split=SplitConfig(dev=0.1)))


def test_one_speaker_is_split_by_utterance_and_it_is_named(corpus, output):
    source = table(corpus / "all.jsonl", *(line(str(n), speaker="anna") for n in range(20)))
    summary = prepare("table", source, output, PrepareConfig(split=SplitConfig(dev=0.1, test=0.2)))
    assert {name: subset.utterances for name, subset in summary.subsets.items()} == {"train": 14, "dev": 2, "test": 4}
    assert len({u.id for name in summary.subsets for u in read_manifest(output / f"{name}.jsonl")}) == 20
    assert "split by utterance: one speaker in all subsets" in summary.to_text()
    written = json.loads((output / "summary.json").read_text())
    assert (written["split_by_speaker"], written["split_by_utterance"]) == (False, True)
    marked = {
        name: [u.speaker_in_training for u in read_manifest(output / f"{name}.jsonl")] for name in summary.subsets
    }
    assert (any(marked["train"]), all(marked["dev"]), all(marked["test"])) == (False, True, True)


@pytest.mark.parametrize(
    "layout, config, message",
    [
        (
            "libri",
            PrepareConfig(),
            "no layout 'libri'; did you mean 'librispeech'? it is one of ",
        ),
        ("fsdd", PrepareConfig(download=True), "--download is for librispeech only; download the 'fsdd' corpus"),
        (
            "fsdd",
            PrepareConfig(split=SplitConfig(0.5, 0.5)),
            "split.dev 0.5 and split.test 0.5 leave nothing",
        ),
        ("fsdd", PrepareConfig(recipe=Path("none.toml")), "none.toml: No such file"),
    ],
)
def test_wrong_options(tmp_path, output, layout, config, message):
    with pytest.raises(ConfigError) as caught:
        prepare(layout, str(tmp_path), output, config)
    assert str(caught.value).startswith(message)
    assert not output.exists()


def old_set(output):
    output.mkdir()
    for name in ("all.jsonl", "rejects.jsonl", "summary.json", "other.jsonl"):
        (output / name).write_text(f"old {name}")
    return {path.name: path.read_text() for path in output.iterdir()}


def test_a_full_disk_leaves_the_old_set(corpus, output, monkeypatch):
    source = table(corpus / "all.jsonl", line("a"))
    before = old_set(output)
    calls = []

    def full(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ManifestError, match=f"{output}/rejects.jsonl: No space left on device; give a writable folder"):
        prepare("table", source, output, PrepareConfig())
    assert len(calls) == 2
    assert {path.name: path.read_text() for path in output.iterdir()} == before


def test_an_interrupt_leaves_the_old_set(corpus, output, monkeypatch):
    before = old_set(output)

    def interrupted(source, folder, config):
        yield Candidate("a", corpus / "a.wav", "one", subset="all")
        raise KeyboardInterrupt

    monkeypatch.setattr("asr.data.corpora.synthetic.generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare("synthetic", "digits", output, PrepareConfig())
    assert {path.name: path.read_text() for path in output.iterdir()} == before


def test_preparing_again_replaces_only_its_own_files(corpus, output):
    before = old_set(output)
    prepare("table", table(corpus / "all.jsonl", line("a")), output, PrepareConfig())
    after = {path.name: path.read_text() for path in output.iterdir()}
    assert after.keys() == before.keys()
    assert [name for name in before if after[name] == before[name]] == ["other.jsonl"]


def test_the_source_is_never_overwritten(corpus):
    source = table(corpus / "all.jsonl", line("a"))
    before = Path(source).read_text()
    with pytest.raises(ManifestError, match=r"all\.jsonl: would be overwritten, but is the source"):
        prepare("table", source, corpus, PrepareConfig())
    assert Path(source).read_text() == before


def test_a_subset_that_would_hide_the_rejects(corpus, output):
    source = table(corpus / "rejects.jsonl", line("a"))
    with pytest.raises(ManifestError, match=r"rejects\.jsonl: a subset cannot be named 'rejects'"):
        prepare("table", source, output, PrepareConfig())


def test_an_output_that_is_a_file(corpus, tmp_path):
    source = table(corpus / "all.jsonl", line("a"))
    (tmp_path / "file").touch()
    with pytest.raises(ManifestError, match=r"file: Not a directory; give a writable folder"):
        prepare("table", source, tmp_path / "file", PrepareConfig())


def test_downloads_are_read(tmp_path, output, monkeypatch):
    sound(tmp_path / "LibriSpeech/dev-clean/84/1/84-1-0.flac")
    (tmp_path / "LibriSpeech/dev-clean/84/1/84-1.trans.txt").write_text("84-1-0 YES\n")
    asked = []

    def download(source):
        asked.append(source)
        return tmp_path / "LibriSpeech" / "dev-clean"

    monkeypatch.setattr("asr.data.corpora.librispeech.download", download)
    summary = prepare("librispeech", str(tmp_path / "dev-clean"), output, PrepareConfig(download=True))
    assert asked == [tmp_path / "dev-clean"]
    assert list(summary.subsets) == ["dev-clean"]


def test_synthetic_speech_is_named_as_such(output):
    config = PrepareConfig(synthetic=SyntheticConfig(train=2, dev=1, test=1, noise_share=0, reverberation_share=0))
    summary = prepare("synthetic", "digits", output, config)
    assert {name: subset.utterances for name, subset in summary.subsets.items()} == {"train": 2, "dev": 1, "test": 1}
    assert summary.synthetic
    assert "synthetic speech: " in summary.to_text()
    # A corpus made from its manifests is no less synthetic.
    again = prepare("table", str(output / "train.jsonl"), output.parent / "again", PrepareConfig())
    assert again.synthetic
