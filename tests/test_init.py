"""`asr init`: what it finds in recordings, how it divides them, and that the recipe which it writes trains."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import COMPLETE, ERROR, PARTLY, assert_told
from tones import write_corpus

from asr.config import Recipe, load_recipe
from asr.data.division import divide
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.data.survey import is_clipped, is_silent, shared_sentences, survey
from asr.errors import ManifestError
from asr.model.model_file import load_model
from asr.text.config import TextConfig
from asr.training.choices import choose, chosen_recipe, english_words, rival_reason

RATE = 16000


def spoken(count: int, texts: list[str], seconds: float = 1.0, speakers: int = 1) -> list[Utterance]:
    """Utterances without recordings, their texts and speakers in turn."""
    return [
        Utterance(f"u{n}", Path(f"u{n}.wav"), seconds, texts[n % len(texts)], f"s{n % speakers}") for n in range(count)
    ]


def found(utterances: list[Utterance], rate: int = RATE):
    """The survey of utterances whose recordings have this rate."""
    from collections import Counter

    from asr.data.survey import Survey

    return Survey(utterances, [u.text for u in utterances], Counter({rate: len(utterances)}), len(utterances), [], [])


def chosen(utterances: list[Utterance], rate: int = RATE) -> Recipe:
    return chosen_recipe(choose(found(utterances, rate)))


def tone(amplitude: float, hertz: float = 200.0, seconds: float = 1.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(RATE * seconds)) / RATE)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Recordings of the tones beside their texts: one word of one letter each, so that sentences recur."""
    write_corpus(tmp_path, "made", 60, seed=0)
    recordings = tmp_path / "sounds"
    recordings.mkdir()
    for utterance in read_manifest(tmp_path / "made.jsonl"):
        utterance.audio_filepath.rename(recordings / utterance.audio_filepath.name)
        (recordings / f"{utterance.id}.txt").write_text(utterance.text)
    return recordings


@pytest.mark.parametrize("hertz", [50, 200, 1000])
def test_only_flat_peaks_are_clipping(hertz):
    assert not is_clipped(tone(0.99, hertz)) and not is_clipped(tone(0.0)) and not is_clipped(tone(0.001, hertz))
    assert is_clipped(np.clip(tone(2.0, hertz), -1, 1)) and is_clipped(np.clip(tone(1.0, hertz), -0.5, 0.6))


def test_silence_is_60_decibels_below_full_scale():
    assert is_silent(np.zeros(100), RATE) and is_silent(tone(0.001), RATE)
    assert not is_silent(np.concatenate([np.zeros(RATE), tone(0.01, seconds=0.1)]), RATE)


def test_the_survey_names_faulty_recordings_and_rare_words(tmp_path):
    utterances = []
    for name, samples in (("good", tone(0.5)), ("loud", np.clip(tone(3.0), -1, 1)), ("mute", 0 * tone(1.0))):
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE)
        utterances.append(Utterance(name, tmp_path / f"{name}.wav", 1.0, f"Say {name}!", "ann"))
    seen = survey(utterances, TextConfig())
    assert (seen.clipped, seen.silent, seen.sample_rates) == (["loud"], ["mute"], {RATE: 3})
    assert seen.vocabulary == {"say": 3, "good": 1, "loud": 1, "mute": 1} and seen.speakers == {"ann": 3}
    text = "\n".join(seen.warnings())
    for part in ("one speaker only (ann)", "1 recordings are clipped: loud", "silent: mute", "good (1)", "minutes"):
        assert part in text


def test_a_test_manifest_with_the_speakers_of_train_is_told(tmp_path):
    for name, speakers in (("train", 8), ("test", 2)):
        utterances = [dataclasses.replace(u, id=f"{name}{u.id}") for u in spoken(80, ["a"], speakers=speakers)]
        write_manifest(tmp_path / f"{name}.jsonl", utterances)
    division = divide([tmp_path / "train.jsonl", tmp_path / "test.jsonl"], tmp_path / "parts")
    assert {u.speaker for u in division.dev} <= {u.speaker for u in division.train} and len(division.dev) == 8
    assert "speakers of dev or test also in train" in division.warnings[0]
    assert all(u.speaker_in_training for u in division.dev)


@pytest.mark.parametrize(
    "texts, share",
    [
        ([f"sana{n} toinen{n}" for n in range(150)], "100%"),
        ([f"sana{n} toinen{n}" for n in range(300)], ""),
        (["zero", "one"], ""),  # few words: their sentences recur by nature
    ],
    ids=["twice", "once", "commands"],
)
def test_sentences_of_dev_that_are_in_train_too_are_told(texts, share):
    parts = [u.text for u in spoken(300, texts)]
    warning = shared_sentences(parts[:250], parts[250:])
    assert warning.startswith(share) if share else not warning


@pytest.mark.parametrize("speakers, apart", [(1, False), (3, False), (10, True)])
def test_parts_are_apart_by_speaker_if_there_are_enough(tmp_path, speakers, apart):
    path = write_manifest(tmp_path / "mine.jsonl", spoken(100, ["a"], speakers=speakers))
    division = divide([path], tmp_path / "parts")
    parts = [division.train, division.dev, division.test]
    assert sorted(u.id for part in parts for u in part) == sorted(f"u{n}" for n in range(100))
    assert [len(part) for part in parts] == [80, 10, 10] and bool(division.warnings) != apart
    assert [len(read_manifest(division.manifests[name][0])) for name in ("dev", "test")] == [10, 10]


def test_dev_and_test_manifests_are_used_as_they_are(tmp_path):
    for name in ("train", "dev", "test"):
        utterances = [dataclasses.replace(u, id=name + u.id, speaker=name) for u in spoken(3, ["a"])]
        write_manifest(tmp_path / f"{name}.jsonl", utterances)
    division = divide([tmp_path / f"{name}.jsonl" for name in ("dev", "train", "test")], tmp_path / "parts")
    assert division.manifests["dev"] == (tmp_path / "dev.jsonl",) and not (tmp_path / "parts").exists()
    with pytest.raises(ManifestError, match="too few to divide"):
        divide([tmp_path / "train.jsonl"], tmp_path / "parts")


def test_english_starts_from_the_english_model_and_other_letters_from_its_acoustic_layers():
    assert chosen(spoken(100, ["turn the light on", "go home"], 3.0)).base == "english"
    assert chosen(spoken(100, ["гаси свет"], 3.0)).base == "english"
    chinese = chosen(spoken(100, [chr(0x4E00 + n) + chr(0x4E00 + 3 * n) for n in range(100)], 3.0))
    assert (chinese.base, chinese.training.decoder) == ("english", "sentences")
    assert not chosen(spoken(100, ["kytke valo", "sammuta lamppu"], 3.0)).base  # not English, with its letters
    assert not chosen(spoken(100, ["extraordinary circumstances"], 0.5)).base  # too fast for its frames
    assert not chosen(spoken(7200, ["turn the light on"], 30.0)).base  # 60 h


@pytest.mark.parametrize("from_scratch", [False, True])
def test_characters_that_only_dev_has_are_in_the_alphabet(from_scratch):
    choices = choose(found(spoken(100, ["гаси свет"], 3.0)), spoken(5, ["включи свет"], 3.0), from_scratch)
    assert set(chosen_recipe(choices).text.alphabet) == set("гаси свет включи")


@pytest.mark.parametrize(
    "texts, unclear",
    [
        (lambda: ["zero", "one"], True),  # few words
        (lambda: ["гаси свет"], True),  # another alphabet
        (lambda: [f"turn the {word} on" for word in sorted(english_words())[::500]], False),
        (lambda: [chr(0x4E00 + n) + chr(0x4E00 + n + 1) for n in range(200)], False),  # two examples of each character
    ],
    ids=["few words", "another alphabet", "many words", "many characters"],
)
def test_from_scratch_is_tried_too_where_it_may_be_as_good(texts, unclear):
    contents = found(spoken(200, texts(), 1.5))
    assert bool(rival_reason(contents, choose(contents))) == unclear
    assert not rival_reason(contents, choose(contents, from_scratch=True))


def test_no_utterance_is_too_short_for_the_frame_rate():
    texts = ["kytkekytkekytkekytke"]
    recipe = chosen(spoken(20, texts, 0.5))
    assert recipe.output_frames(0.5 / 1.1) >= len(texts[0]) and recipe.model.subsampling == 2


@pytest.mark.parametrize("texts", [["zero", "one"], ["yksi", "kaksi"]])  # from English, and from scratch
def test_recordings_of_a_word_or_two_are_normalised_with_average_speech(texts):
    assert chosen(spoken(200, texts, 0.6)).features.average_seconds == 1.0
    assert chosen(spoken(200, texts, 3.0)).features.average_seconds == 0.0


def test_a_small_vocabulary_gets_units_of_words_and_its_own_decoder():
    recipe = chosen(spoken(200, ["yksi", "kaksi", "kolme"], 0.6), rate=8000)
    assert (recipe.text.units, recipe.training.decoder, recipe.features.sample_rate) == ("bpe", "sentences", 8000)
    free = chosen(spoken(200, [f"sana{n} toinen{n}" for n in range(200)], 4.0))
    assert (free.text.units, free.training.decoder) == ("characters", "none")
    assert chosen(spoken(300, [f"light number {n}" for n in range(3)], 3.0)).training.decoder == "sentences"
    orders = [f"a {size} {what} with {extra}" for size in "abcdef" for what in "ghijkl" for extra in "mnopqr"]
    assert chosen(spoken(200, orders, 3.0)).training.decoder == "sentences"  # all different, of few words


def test_hours_of_free_speech_are_not_a_closed_vocabulary_though_most_words_recur():
    ranks = np.random.default_rng(0).zipf(1.3, (20000, 9))
    texts = [" ".join(f"sana{rank}" for rank in row) for row in ranks]
    assert len({word for text in texts for word in text.split()}) < 0.1 * ranks.size
    assert chosen(spoken(20000, texts, 4.0)).training.decoder == "none"


def test_the_recipe_is_complete_explained_and_loads(asr, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = asr("init", folder, "-o", "mine.toml")
    assert result.returncode == COMPLETE and "next:       asr train mine.toml" in result.stdout
    text, recipe = Path("mine.toml").read_text(), load_recipe(Path("mine.toml"))
    assert recipe.output == Path("mine-model") and recipe.data.train == (Path("mine-data/train.jsonl"),)
    for line in text.splitlines():
        assert len(line) <= 120
    blocks = [block.splitlines() for block in text.split("\n\n")]
    assert all(any(line.startswith("#") for line in block) for block in blocks)
    assert_told(asr("init", folder, "-o", "mine.toml"), ERROR, "mine.toml", "exists already")


@pytest.mark.parametrize("sentences, decoder", [(55, "none"), (30, "sentences")])
def test_warns_of_sentences_in_train_and_dev_unless_they_are_meant_to_recur(asr, tmp_path, sentences, decoder):
    for number in range(100):
        soundfile.write(tmp_path / f"x{number}.wav", tone(0.5, seconds=3.0), RATE)
        words = [f"sana{number % sentences}{letter}" for letter in "abcdefgh"]
        (tmp_path / f"x{number}.txt").write_text(" ".join(words))
    begun = asr("init", tmp_path, "-o", tmp_path / "mine.toml")
    assert f'decoder = "{decoder}"' in (tmp_path / "mine.toml").read_text(), begun.stderr
    assert ("are also in train" in begun.stderr) == (decoder == "none")


def test_rejected_recordings_are_in_the_exit_status(asr, folder, tmp_path):
    (folder / "made-0.txt").unlink()
    result = asr("init", folder, "-o", tmp_path / "mine.toml")
    assert result.returncode == PARTLY and "1 recordings rejected" in result.stderr


@pytest.mark.slow
def test_recordings_are_trained_in_one_step_and_again_by_the_recipe(asr, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_told(asr("train", folder, "--training.epochs", "1"), ERROR, "asr init")
    init = asr("init", folder, "-o", "sounds.toml")
    assert init.returncode == COMPLETE, init.stderr
    short = Path("sounds.toml").read_text().replace("updates = 2500", "updates = 2500\nepochs = 1")
    Path("sounds.toml").write_text(short)
    trained = asr("train", folder)
    assert trained.returncode == COMPLETE, trained.stderr
    assert "sounds.toml" in trained.stderr and "sounds-model/model.safetensors" in trained.stdout
    record = json.loads(Path("sounds-model/recipe.json").read_text())
    assert record["training"]["decoder"] == load_recipe(Path("sounds.toml")).training.decoder
    assert load_model(Path("sounds-model/model.safetensors")).training["epochs"] == 1
