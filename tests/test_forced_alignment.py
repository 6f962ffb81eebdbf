"""Forced alignment of recordings: the accuracy of a trained network on synthetic speech with known word times, the
English model, and text or sound that cannot be aligned."""

import itertools
import json

import numpy as np
import pytest
import soundfile
import textgrid
from command_line import COMPLETE, ERROR, PARTLY, assert_told
from small_recipe import SYNTHETIC_WORDS, write_recipe

from asr.audio.espeak import Espeak
from asr.config import load_recipe
from asr.data.manifest import Utterance, write_manifest
from asr.decoding.config import DecoderConfig
from asr.pretrained import ENGLISH
from asr.recognition.config import AlignConfig
from asr.recognition.forced_alignment import align_recording
from asr.recognition.recognizer import Recognizer
from asr.text.numbers import number_speller
from asr.training.trainer import train

# A trained network


WORDS = ["seven", "no", "gap", "three", "music", "on", "time", "door"]


def speak(random, phrases):
    """Phrases of one to four words, with pauses: samples, their rate, and (word, start, end) in seconds."""
    speaker, parts, spans, at = Espeak(), [], [], 0.0
    rate = speaker.sample_rate
    for phrase in range(phrases + 1):
        pause = np.zeros(int(random.uniform(0.1, 0.5) * rate), np.float32)
        parts.append(pause)
        at += len(pause) / rate
        if phrase < phrases:
            text = " ".join(random.choice(WORDS, size=random.integers(1, 5)))
            samples, words = speaker.say_words(text, "en-us+klatt", int(random.integers(120, 170)), pitch=50)
            parts.append(samples)
            starts = [*(at + start for _, start in words), at + len(samples) / rate]
            spans += [(word, a, b) for (word, _), (a, b) in zip(words, itertools.pairwise(starts), strict=True)]
            at = starts[-1]
    sound = np.concatenate(parts)
    return sound + 0.001 * random.standard_normal(len(sound)), rate, spans


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("aligner"), np.random.default_rng(0)
    for name, count in (("train", 120), ("dev", 10)):
        utterances = []
        for number in range(count):
            sound, rate, spans = speak(random, 3)
            path = folder / f"{name}-{number}.wav"
            soundfile.write(path, sound, rate)
            text = " ".join(word for word, _, _ in spans)
            utterances.append(Utterance(path.stem, path, len(sound) / rate, text, f"{name}-voice"))
        write_manifest(folder / f"{name}.jsonl", utterances)
    change = {"model": {"width": 96}, "training": {"epochs": 5, "learning_rate": 4e-3}}
    return train(load_recipe(write_recipe(folder / "run.toml", SYNTHETIC_WORDS, change)))


@pytest.fixture
def long_recording(tmp_path):
    """A recording longer than a window, and its words' times."""
    sound, rate, spans = speak(np.random.default_rng(1), 40)
    soundfile.write(tmp_path / "long.wav", sound, rate)
    return tmp_path / "long.wav", spans


@pytest.mark.slow
def test_accuracy_and_differences_on_synthetic_speech(asr, trained, long_recording, tmp_path):
    sound, spans = long_recording
    assert spans[-1][2] > 40, "longer than a window"
    said = [word for word, _, _ in spans]
    (tmp_path / "text.txt").write_text(" ".join(said))
    recognizer = Recognizer.load(trained)

    found = align_recording(recognizer, sound, tmp_path / "text.txt", AlignConfig())
    words = found.transcript.words
    assert [word.text for word in words] == said and found.complete, found.notes
    errors = [abs(a - b) for word, (_, *truth) in zip(words, spans, strict=True)
              for a, b in zip((word.start, word.end), truth, strict=True)]  # fmt: skip
    print(f"boundary error: median {1000 * np.median(errors):.0f} ms, 90% {1000 * np.percentile(errors, 90):.0f} ms")
    assert np.median(errors) <= 0.05, "41 ms or less, depending on the number of threads that trained the model"
    letters = "".join(each.text for each in found.transcript.characters)
    assert letters == "".join(said)

    # The text has more words before, after and in the middle of the speech.
    longer = ["music", "time", *said[:40], "door", "three", "seven", "door", *said[40:], "gap", "no", "seven"]
    (tmp_path / "text.txt").write_text(" ".join(longer))
    found = align_recording(recognizer, sound, tmp_path / "text.txt", AlignConfig())
    assert sum(int(told.split()[0]) for told in found.missing) == 9 and not found.extra
    kept = found.transcript.words
    assert [word.text for word in kept] == said
    moved = [abs(a.start - b.start) for a, b in zip(kept, words, strict=True)]
    assert np.percentile(moved, 95) < 0.04, "words that were said stay where they were"

    # The text lacks some of it.
    (tmp_path / "text.txt").write_text(" ".join(said[:30] + said[50:]))
    found = align_recording(recognizer, sound, tmp_path / "text.txt", AlignConfig())
    assert found.extra and not found.missing
    covered = sum(min(each.end, spans[49][2]) - max(each.start, spans[30][1]) for each in found.extra)
    told = sum(each.end - each.start for each in found.extra)
    assert covered > 0.8 * (spans[49][2] - spans[30][1]) and told - covered < 1.5, found.extra

    command = (
        "align",
        sound,
        tmp_path / "text.txt",
        "-m",
        trained,
        "-o",
        tmp_path,
        "--format",
        "TextGrid",
        "json",
        "srt",
    )
    result = asr(*command)
    assert result.returncode == PARTLY and "not in the text, " in result.stderr
    record = json.loads((tmp_path / "long.json").read_text())
    grid = textgrid.TextGrid.fromFile(str(tmp_path / "long.TextGrid"))
    assert [tier.name for tier in grid] == ["words", "characters", "doubtful"]
    assert [each.mark for each in grid[0] if each.mark] == [word["text"] for word in record["words"]]
    assert "".join(each.mark for each in grid[1]) == "".join(word["text"] for word in record["words"])
    assert record["notes"] and (tmp_path / "long.srt").read_text().startswith("1\n00:00:0")


# The English model


PHRASES = (
    "the committee will meet again on thursday afternoon",
    "we drove to the village and found the old mill by the river",
    "it was almost dark when they came home",
    "another train will leave at seven from the second platform",
    "please send the package before friday",
    "only three of them returned",
    "first we need to find the key",
    "nobody knew what had happened",
)


def breathe(random, rate, level):
    """A pause with a breath in it, by turns near the speech before and after: `(samples,)`."""
    pause = np.zeros(int(random.uniform(0.5, 1.2) * rate))
    count = int(random.uniform(0.2, 0.4) * rate)
    noise = np.diff(random.standard_normal(count + 1)) * np.hanning(count) ** 0.5
    start = int(random.choice([0.04 * rate, len(pause) - count - 0.04 * rate]))
    pause[start : start + count] = noise / noise.std() * level * 10 ** (-random.uniform(20, 32) / 20)
    return pause


@pytest.fixture(scope="module")
def breathing():
    """Phrases with breaths in the pauses, spoken by two voices: (samples, sample rate, words, index of each phrase's
    first word and its start in seconds)."""
    speaker, recordings = Espeak(), []
    for seed, voice in enumerate(("en-us+f2", "en-us+m3")):
        random, parts, words, starts = np.random.default_rng(seed), [], [], []
        for phrase in random.permutation(PHRASES):
            samples, _ = speaker.say_words(str(phrase), voice, 145, 50)
            loud = np.flatnonzero(np.abs(samples) > 0.003)
            spoken = samples[loud[0] : loud[-1] + 1]
            parts.append(breathe(random, speaker.sample_rate, spoken.std()))
            starts.append((len(words), sum(map(len, parts)) / speaker.sample_rate))
            parts.append(spoken)
            words += phrase.split()
        sound = np.concatenate([*parts, breathe(random, speaker.sample_rate, spoken.std())])
        recordings.append((sound + 3e-4 * random.standard_normal(len(sound)), speaker.sample_rate, words, starts))
    return recordings


@pytest.fixture(scope="module")
def english():
    return Recognizer.load(ENGLISH, "cpu", DecoderConfig(decoder="greedy"))


@pytest.fixture
def align_words(english, tmp_path):
    """The alignment of words with samples."""

    def run(samples, rate, words):
        soundfile.write(tmp_path / "talk.wav", samples, rate)
        (tmp_path / "talk.txt").write_text(" ".join(words))
        return align_recording(english, tmp_path / "talk.wav", tmp_path / "talk.txt", AlignConfig())

    return run


@pytest.mark.slow
def test_words_start_after_pauses_and_breaths(align_words, breathing):
    errors, doubtful, count = [], 0, 0
    for samples, rate, words, starts in breathing:
        found = align_words(samples, rate, words)
        assert [word.text for word in found.transcript.words] == words and found.complete, found.notes
        errors += [abs(found.transcript.words[index].start - start) for index, start in starts]
        doubtful, count = doubtful + len(found.transcript.doubtful), count + len(words)
    assert np.percentile(errors, 90) <= 0.08
    assert doubtful <= 0.04 * count, "the text is right"


@pytest.mark.slow
@pytest.mark.parametrize("kept", [slice(0, -6), slice(6, None), slice(20, 24)])  # whose last words come once
def test_speech_that_the_text_lacks_does_not_move_the_words_beside_it(align_words, breathing, kept):
    samples, rate, words, _ = breathing[0]
    whole = align_words(samples, rate, words).transcript.words[kept]
    part = align_words(samples, rate, words[kept])
    assert [word.text for word in part.transcript.words] == words[kept] and part.extra
    moved = [max(abs(a.start - b.start), abs(a.end - b.end)) for a, b in zip(part.transcript.words, whole, strict=True)]
    assert max(moved) <= 0.25


# The command


def test_words_keep_their_spelling(asr, model_path, noise_file, tmp_path):
    (tmp_path / "text.txt").write_text("\u201cAbe, -- a fed-head!\u201d\n", encoding="utf-8")
    result = asr("align", noise_file("a.wav", 2.0), tmp_path / "text.txt", "-m", model_path, "--format", "json")
    assert result.returncode in (COMPLETE, PARTLY)
    record = json.loads(result.stdout)
    found = [word["text"] for word in record["words"]]
    assert set(found) <= {"\u201cAbe, --", "a", "fed-head!\u201d"}
    lost = sum(int(note.split()[0]) for note in record["notes"] if "not found" in note)
    assert len(found) + lost == 3, "every word is aligned or reported"
    assert {word["text"] for word in record.get("doubtful", ())} <= set(found)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"abc xyz", ("text.txt", "'xyz'", "'x' (1)")),
        ("a 42 zoé, b 24 zoé".encode(), ("text.txt", "'é' (2)", "'o' (2)", "'4' (2)", "'2' (2)", "'24'", "--numbers")),
        (b" -- ", ("text.txt", "no words")),
        (b"caf\xe9", ("text.txt", "not UTF-8")),
        (None, ("text.txt", "No such file")),
    ],
)
def test_text_that_cannot_be_aligned(asr, model_path, noise_file, tmp_path, content, parts):
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    assert_told(asr("align", noise_file("a.wav"), tmp_path / "text.txt", "-m", model_path), ERROR, *parts)


@pytest.mark.parametrize(
    ("word", "spoken"),
    [
        ("42", "forty-two"),
        ("1984", "nineteen eighty-four"),
        ("1,984", "one thousand, nine hundred and eighty-four"),
        ("3.5", "three point five"),
        ("(2nd)", "( second )"),
        ("7-8", "seven - eight"),
        ("don't", "don't"),
    ],
)
def test_numbers_are_spelled_out(word, spoken):
    assert " ".join(number_speller("en")(word).split()) == spoken
    assert number_speller("none")(word) == word


def test_spelled_numbers_keep_their_digits_in_the_result(asr, noise_file, tmp_path):
    (tmp_path / "text.txt").write_text("42 apples")
    sound = noise_file("a.wav", 3.0)
    result = asr("align", sound, tmp_path / "text.txt", "--numbers", "en", "--format", "json")
    assert result.returncode in (COMPLETE, PARTLY)
    assert "42" in result.stdout + result.stderr and "forty" not in result.stdout + result.stderr
    assert_told(asr("align", sound, tmp_path / "text.txt", "--numbers", "klingon"), ERROR, "klingon", "en, ")


def test_sound_that_cannot_be_aligned(asr, model_path, tmp_path):
    (tmp_path / "text.txt").write_text("a")
    assert_told(asr("align", "gone.wav", tmp_path / "text.txt", "-m", model_path), ERROR, "gone.wav", "no such file")
