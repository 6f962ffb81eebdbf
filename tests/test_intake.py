"""asr.data.intake: which utterances of a corpus are accepted, which are rejected, and why."""

import json
import os
import shutil

import pytest
from candidates import sound
from small_corpus import json_lines, line, table

from asr.data.config import PrepareConfig, SplitConfig
from asr.data.manifest import read_manifest
from asr.data.prepare import prepare
from asr.errors import ConfigError, ManifestError


def reasons(output):
    return {reject["id"]: reject["reason"] for reject in json_lines(output / "rejects.jsonl")}


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
