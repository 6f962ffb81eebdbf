"""asr.data.prepare: what is accepted, what is rejected and why, and that a set of manifests is written whole or not."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.audio.config import FeatureConfig
from asr.config import Recipe
from asr.data.config import PrepareConfig, SplitConfig, SyntheticConfig
from asr.data.corpora.base import Candidate
from asr.data.manifest import read_manifest
from asr.data.prepare import prepare
from asr.errors import ConfigError, ManifestError
from asr.model.config import ModelConfig


def sound(path, seconds=1.0, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate)), rate)
    return path


def table(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def line(id, audio="a.wav", text="one", **further):
    return {"id": id, "audio_filepath": audio, "text": text, **further}


def json_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def corpus(tmp_path):
    sound(tmp_path / "corpus/a.wav")
    sound(tmp_path / "corpus/talk.flac", 10.0, 44100)
    return tmp_path / "corpus"


@pytest.fixture
def output(tmp_path):
    return tmp_path / "data"


def reasons(output):
    return {reject["id"]: reject["reason"] for reject in json_lines(output / "rejects.jsonl")}


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


def test_every_reason_for_rejection(corpus, output):
    sound(corpus / "long.wav", 36.0)
    (corpus / "broken.wav").write_text("no sound")
    recipe = corpus / "recipe.toml"
    recipe.write_text(
        '[text]\nalphabet = "abcdefghijklmnopqrstuvwxyz \'"\nreplace = { "&" = " and " }\nnormalizer="nfc"'
    )
    source = table(
        corpus / "dev.jsonl",
        line("good", text="one & two"),
        line("twice", text="two"),
        line("twice", "talk.flac", text="two"),
        line("lost", "lost.wav"),
        line("broken", "broken.wav"),
        line("beyond", "talk.flac", offset=9.5, duration=0.7),
        line("behind", "talk.flac", offset=11),
        line("nothing", "talk.flac", offset=1, duration=0),
        line("silent", text=" \u00a0 "),
        line("foreign", text="éa, é"),
        line("tagged", text="yes <unk> [noise]"),
        line("long", "long.wav"),
        line("dense", text="abcdefgh ijklmnop qrstuvwxy"),
        line("filled", "talk.flac", "abcdefgh ijklmnop qrstuvwx", offset=1, duration=1),
        {"id": "mute", "audio_filepath": "a.wav"},
    )
    summary = prepare("table", source, output, PrepareConfig(recipe=recipe))
    assert [u.id for u in read_manifest(output / "dev.jsonl")] == ["good", "twice", "filled"]
    assert reasons(output) == {
        "twice": f"duplicate id: {corpus}/a.wav has it too",
        "lost": f"{corpus}/lost.wav: no such file; give the path of a sound file",
        "broken": f"{corpus}/broken.wav: not a sound file that can be read (wav, flac, ogg, opus, mp3, aiff)",
        "beyond": f"outside the recording: 9.50 s to 10.20 s in {corpus}/talk.flac, which has 10.00 s",
        "behind": f"outside the recording: 11.00 s to 10.00 s in {corpus}/talk.flac, which has 10.00 s",
        "nothing": f"outside the recording: 1.00 s to 1.00 s in {corpus}/talk.flac, which has 10.00 s",
        "silent": "empty text: nothing is left of ' \u00a0 ' after normalisation",
        "foreign": "characters outside the alphabet: 'é' (2), ',' (1); "
        "add them to text.alphabet or map them with text.replace",
        "tagged": "tags in the text: <unk>, [noise]; remove what is not a word",
        "long": "too long: 36.00 s, more than 35 s",
        "dense": "too short for its text: 1.00 s are 26 frames of 0.04 s, but CTC needs 27 for these characters; "
        "is it the right recording?",
        "dev.jsonl:15": "no text: text, sentence, transcript are missing or not text",
    }
    assert json_lines(output / "rejects.jsonl")[0] == {
        "id": "twice",
        "audio_filepath": "../corpus/talk.flac",
        "text": "two",
        "reason": f"duplicate id: {corpus}/a.wav has it too",
    }
    assert summary.rejects == 12
    assert summary.rejects_by_kind == {
        "outside the recording": 3,
        "missing or unreadable audio": 2,
        "duplicate id": 1,
        "empty text": 1,
        "characters outside the alphabet": 1,
        "tags in the text": 1,
        "too long": 1,
        "too short for its text": 1,
        "no text": 1,
    }
    assert summary.unknown_characters == {"é": 2, ",": 1}
    assert "rejected: 12, see rejects.jsonl: outside the recording (3), missing" in summary.to_text()
    assert "characters outside the alphabet: 'é' (2), ',' (1)" in summary.to_text()


def test_a_short_word_is_accepted_where_the_frame_rate_is_open(corpus, output):
    source = table(corpus / "t.jsonl", line("a", "talk.flac", "three", offset=1.0, duration=0.19))
    assert prepare("table", source, output, PrepareConfig()).rejects == 0


def test_any_character_is_allowed_without_a_recipe(corpus, output):
    summary = prepare("table", table(corpus / "t.jsonl", line("a", text="今天 ñ")), output, PrepareConfig())
    assert summary.rejects == 0
    assert summary.unknown_characters == {}


def test_times_that_were_rounded_up_end_with_the_recording(corpus, output):
    source = table(corpus / "t.jsonl", line("a", "talk.flac", offset=9.0, duration=1.1))
    prepare("table", source, output, PrepareConfig())
    assert json_lines(output / "t.jsonl")[0]["duration"] == 1.0


def test_wrong_durations_are_corrected_and_counted(corpus, output):
    source = table(
        corpus / "t.jsonl",
        line("right", "talk.flac", duration=10),
        line("rounded", "talk.flac", duration=10.08),
        line("wrong", "talk.flac", duration=3),
        line("unknown", "talk.flac"),
        line("part", "talk.flac", offset=1, duration=3),
    )
    summary = prepare("table", source, output, PrepareConfig())
    assert [record["duration"] for record in json_lines(output / "t.jsonl")] == [10.0, 10.0, 10.0, 10.0, 3.0]
    assert summary.corrected_durations == json.loads((output / "summary.json").read_text())["corrected_durations"] == 1
    assert "durations corrected: 1" in summary.to_text()


@pytest.mark.parametrize(
    "seconds, recipe, frames",
    [
        (1.0, Recipe(), 26),  # 101 feature frames
        (0.99, Recipe(), 25),
        (0.0001, Recipe(), 1),
        (1.0, Recipe(features=FeatureConfig(sample_rate=8000, hop_seconds=0.0125)), 21),
        (1.0, Recipe(model=ModelConfig(subsampling=1)), 101),
    ],
)
def test_output_frames(seconds, recipe, frames):
    assert recipe.output_frames(seconds) == frames


def test_output_frames_are_those_of_the_model():
    import torch

    from asr.audio.features import LogMel
    from asr.model.acoustic_model import AcousticModel

    recipe = Recipe()
    samples = 12345
    frames = LogMel(recipe.features)(np.zeros(samples)).shape[0]
    model = AcousticModel(recipe.model, recipe.features.mels, tokens=2)
    expected = model.output_lengths(torch.tensor(frames)).item()
    assert recipe.output_frames(samples / recipe.features.sample_rate) == expected


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


@pytest.mark.parametrize("key", ["speaker", "speaker_id"])
def test_speaker_zero_is_a_speaker(corpus, output, key):
    source = table(corpus / "all.jsonl", *(line(str(n), **{key: n % 4}) for n in range(40)))
    summary = prepare("table", source, output, PrepareConfig(split=SplitConfig(dev=0.25, test=0.25)))
    subsets = {name: {u.speaker for u in read_manifest(output / f"{name}.jsonl")} for name in summary.subsets}
    assert sorted(speaker for speakers in subsets.values() for speaker in speakers) == ["0", "1", "2", "3"]
    assert "without a speaker" not in summary.to_text()


@pytest.mark.parametrize(("value", "count"), [("true", 1), ("True", 1), ("1", 1), ("false", 0), ("0", 0), ("", 0)])
def test_synthetic_as_a_column(corpus, output, value, count):
    (corpus / "t.csv").write_text(f"path,text,synthetic\na.wav,one,{value}\n")
    summary = prepare("table", str(corpus / "t.csv"), output, PrepareConfig())
    assert summary.synthetic == bool(count)


def test_nothing_usable(corpus, output):
    source = table(corpus / "all.jsonl", line("a", "lost.wav"), line("b", "gone.wav"), line("c", text="?!"))
    with pytest.raises(ManifestError) as caught:
        prepare("table", source, output, PrepareConfig())
    assert str(caught.value) == (
        f"{source}: none of 3 utterances is usable, most often because of: missing or unreadable audio (2), "
        f"such as a: {corpus}/lost.wav: no such file; give the path of a sound file"
    )
    assert not list(output.iterdir())
    with pytest.raises(ManifestError, match="no utterances in it"):
        prepare("table", table(corpus / "none.jsonl"), output, PrepareConfig())


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


def test_a_file_name_that_json_cannot_hold(corpus, output):
    folder = corpus / "folder"
    sound(folder / "good.wav")
    (folder / "good.txt").write_text("yes")
    odd = folder / os.fsdecode(b"caf\xe9.wav")
    shutil.copy(folder / "good.wav", odd)
    shutil.copy(folder / "good.txt", odd.with_suffix(".txt"))
    summary = prepare("folder", str(folder), output, PrepareConfig())
    assert [u.id for u in read_manifest(output / "all.jsonl")] == ["good"]
    assert reasons(output) == {"caf?": "file name not UTF-8: rename it"}
    assert summary.rejects_by_kind == {"file name not UTF-8": 1}


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


def test_numbers_are_written_out_and_listed(corpus, output):
    """By option; without it, a recipe's alphabet rejects digits."""
    pytest.importorskip("num2words")
    before = "It cost 23 pounds, the 2nd time 1,200."
    source = table(corpus / "train.jsonl", line("a", "talk.flac", before), line("b", text="no"))
    summary = prepare("table", source, output, PrepareConfig(numbers="en"))
    text = "It cost twenty-three pounds, the second time one thousand, two hundred."
    assert [each["text"] for each in json_lines(output / "train.jsonl")] == [text, "no"]
    assert json_lines(output / "numbers.jsonl") == [{"id": "a", "before": before, "text": text}]
    assert summary.numbers_written_out == 1 and "numbers written out: in 1 utterances" in summary.to_text()
    with pytest.raises(ConfigError, match="klingon"):
        prepare("table", source, output, PrepareConfig(numbers="klingon"))
