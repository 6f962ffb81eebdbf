"""Forced alignment: the likeliest path, text that is longer or shorter than the speech, boundaries in the sound, and
the accuracy of a trained network on synthetic speech with known word times."""

import itertools
import json

import numpy as np
import pytest
import soundfile
import textgrid
import torch
from command_line import COMPLETE, ERROR, PARTLY, assert_told
from hypothesis import given, settings
from hypothesis import strategies as st
from torchaudio.functional import forced_align

import asr.decoding.alignment as alignment
from asr.audio.espeak import Espeak
from asr.config import load_recipe
from asr.data.manifest import Utterance, write_manifest
from asr.decoding.alignment import Slack, align, align_loosely
from asr.decoding.config import DecoderConfig
from asr.pretrained import ENGLISH
from asr.recognition.config import AlignConfig
from asr.recognition.forced_alignment import align_recording
from asr.recognition.recognizer import Recognizer
from asr.recognition.word_boundaries import STEP, energies, find_boundaries
from asr.text.numbers import number_speller
from asr.text.tokenizer import frames_needed
from asr.training.trainer import train

NOTHING = -30.0  # nats


def noise(frames, tokens, seed, sharpness=3.0):
    logits = sharpness * np.random.default_rng(seed).standard_normal((frames, tokens))
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def path_score(emission, found):
    """The log-probability of a path: each token in its frames, blanks elsewhere."""
    frames = emission[:, 0].astype(np.float64).copy()
    for token, start, end in zip(found.indices, found.starts, found.ends, strict=True):
        frames[start:end] = emission[start:end, token]
    return frames.sum()


labels = st.lists(st.integers(1, 4), min_size=1, max_size=12)


@given(labels, st.integers(0, 40), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_the_path_is_torchaudios(tokens, more, seed):
    emission = noise(frames_needed(tokens) + more, 5, seed)
    found = align(emission, np.array(tokens))
    _, scores = forced_align(torch.from_numpy(emission)[None], torch.tensor([tokens]))
    assert path_score(emission, found) == pytest.approx(float(scores.sum()), rel=1e-4)
    edges = [frame for pair in zip(found.starts, found.ends, strict=True) for frame in pair]
    assert edges == sorted(edges) and all(a < b for a, b in zip(found.starts, found.ends, strict=True))


@given(labels, st.integers(0, 40), st.integers(0, 10**6), st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_parts_give_what_the_whole_gives(tokens, more, seed, cells):
    emission = noise(frames_needed(tokens) + more, 5, seed)
    following = np.arange(1, len(tokens) + 1)
    slack = Slack(emission[:, 0], emission.max(axis=1) - 1, 0.7, np.full(len(tokens), 1.5), following)
    whole, before = align_loosely(emission, np.array(tokens), slack), alignment.MOST_CELLS
    try:
        alignment.MOST_CELLS = cells
        parts = align_loosely(emission, np.array(tokens), slack)
    finally:
        alignment.MOST_CELLS = before
    for one, other in zip(
        (parts[0].starts, parts[0].ends, parts[1]), (whole[0].starts, whole[0].ends, whole[1]), strict=True
    ):
        assert one.tolist() == other.tolist()


def written(words, frames):
    """Log-probabilities `(frames, 27)` that write each word's letters, one a frame, from a frame on; else blanks."""
    emission = np.full((frames, 27), NOTHING, np.float32)
    emission[:, 0] = -0.01
    for word, first in words:
        for offset, letter in enumerate(word):
            emission[first + offset, 0] = NOTHING
            emission[first + offset, ord(letter) - 96] = -0.01
    return emission


def place(words, emission, skip=5.0, extra=3.0, opening=5.0):
    """The first frame of each word, None where it is left out."""
    tokens, skips, following = [], [], []
    for word in words:
        skips += [skip * len(word), *[0.0] * (len(word) - 1)]
        following += [len(tokens) + len(word), *[0] * (len(word) - 1)]
        tokens += [ord(letter) - 96 for letter in word]
    lost = np.maximum(emission[:, 0], emission.max(axis=1) - extra)
    slack = Slack(emission[:, 0].copy(), lost, opening, np.array(skips), np.array(following))
    found, _ = align_loosely(emission, np.array(tokens), slack)
    firsts = np.cumsum([0, *map(len, words)])[:-1]
    return [int(found.starts[i]) if found.ends[i] > found.starts[i] else None for i in firsts]


SPEECH = [("one", 3), ("two", 12), ("three", 20), ("four", 30)]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("one two three four", [3, 12, 20, 30]),
        ("one two extra three four", [3, 12, None, 20, 30]),
        ("zero one two three four five six", [None, 3, 12, 20, 30, None, None]),
        ("one four", [3, 30]),  # speech that the text lacks, in the middle
        ("two three", [12, 20]),  # and around it
        ("seven eight nine", [None, None, None]),
        (" ".join(["word"] * 500 + ["three"] + ["word"] * 500), [*[None] * 500, 20, *[None] * 500]),
        ("two two", [12, None]),
    ],
)
def test_text_and_speech_that_differ(text, places):
    found = place(text.split(), written(SPEECH, 40))
    assert found == places or (text == "two two" and found == places[::-1])


def test_ten_minutes_are_aligned_in_parts():
    """15,000 frames and 7,500 letters: a table of all steps would take 225 MB."""
    words = [("abcde"[i % 5 :] + "abcde"[: i % 5], 10 * i) for i in range(1500)]
    emission = written(words, 15_000)
    assert place([word for word, _ in words], emission) == [first for _, first in words]


# Boundaries


spans = st.lists(st.integers(1, 40), min_size=2, max_size=20).map(
    lambda lengths: [(0.02 * a, 0.02 * b) for a, b in itertools.pairwise(np.cumsum(lengths).tolist())]
)


@given(spans, st.integers(0, 10**6), st.floats(0, 30))
@settings(max_examples=60, deadline=None)
def test_words_have_a_length_and_are_not_over_one_another(spans, seed, spread):
    steps = int(spans[-1][1] / STEP) + 10
    random = np.random.default_rng(seed)
    found = find_boundaries(spans, spread * random.standard_normal(steps), random.random(steps) < 0.3)
    assert len(found) == len(spans)
    edges = [edge for span in found for edge in span]
    assert all(a < b for a, b in found) and all(a <= b + 1e-9 for a, b in itertools.pairwise(edges))
    for (start, end), (rough_start, rough_end) in zip(found, spans, strict=True):
        assert start < (rough_start + rough_end) / 2 < end


def test_boundaries_are_at_pauses_and_where_sound_is_weakest():
    rate, random = 8000, np.random.default_rng(0)
    loud = np.full(200, 0.001)  # steps of 10 ms
    loud[30:80] = loud[110:190] = 1.0
    loud[149:151] = 0.3  # two words without a pause
    samples = 0.5 + random.standard_normal(200 * rate // 100) * np.repeat(loud, rate // 100)
    pieces = np.split(samples.astype(np.float32), [1234, 5000])  # as a file is read
    decibels, nowhere = energies(pieces, rate), np.zeros(200, bool)
    found = find_boundaries([(0.2, 0.5), (1.1, 1.3), (1.6, 1.7)], decibels, nowhere)
    assert [round(edge, 2) for span in found for edge in span] == pytest.approx(
        [0.3, 0.8, 1.1, 1.5, 1.5, 1.9], abs=0.021
    )


def test_a_breath_in_a_pause_belongs_to_no_word():
    decibels = np.full(200, -60.0)
    decibels[20:80] = decibels[140:190] = -20.0  # two words
    decibels[95:138] = -40.0  # a breath, up to the second word
    breath = np.zeros(200, bool)
    breath[85:139] = True
    (_, end), (start, _) = find_boundaries([(0.3, 0.7), (1.42, 1.8)], decibels, breath)
    assert (end, start) == pytest.approx((0.8, 1.4), abs=0.021)
    (_, end), (start, _) = find_boundaries([(0.3, 0.7), (1.42, 1.8)], decibels, np.zeros(200, bool))
    assert start < 1.0, "without the network's opinion a breath is sound like any other"


# A trained network


WORDS = ["seven", "no", "gap", "three", "music", "on", "time", "door"]
RECIPE = """
output = "run"
[data]
train = ["train.jsonl"]
dev = ["dev.jsonl"]
[features]
mels = 40
[augment]
time_masks = 0
frequency_masks = 0
[model]
subsampling = 4
channels = 8
layers = 1
width = 96
dropout = 0.0
[training]
epochs = 5
batch_seconds = 8
learning_rate = 4e-3
average = 1
workers = 0
checkpoint_minutes = 0
"""


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
    (folder / "recipe.toml").write_text(RECIPE)
    return train(load_recipe(folder / "recipe.toml"))


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
    assert np.median(errors) <= 0.04
    letters = "".join(each.text for each in found.transcript.characters)
    assert letters == "".join(said)

    # The text goes on before, after and in the middle of what was said.
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


def test_words_start_after_pauses_and_breaths(align_words, breathing):
    errors, doubtful, count = [], 0, 0
    for samples, rate, words, starts in breathing:
        found = align_words(samples, rate, words)
        assert [word.text for word in found.transcript.words] == words and found.complete, found.notes
        errors += [abs(found.transcript.words[index].start - start) for index, start in starts]
        doubtful, count = doubtful + len(found.transcript.doubtful), count + len(words)
    assert np.percentile(errors, 90) <= 0.08
    assert doubtful <= 0.03 * count, "the text is right"


@pytest.mark.parametrize("kept", [slice(0, -6), slice(6, None), slice(20, 26)])
def test_speech_that_the_text_lacks_does_not_move_the_words_beside_it(align_words, breathing, kept):
    samples, rate, words, _ = breathing[0]
    whole = align_words(samples, rate, words).transcript.words[kept]
    part = align_words(samples, rate, words[kept])
    assert [word.text for word in part.transcript.words] == words[kept] and part.extra
    moved = [max(abs(a.start - b.start), abs(a.end - b.end)) for a, b in zip(part.transcript.words, whole, strict=True)]
    assert max(moved) <= 0.15


# The command


def test_words_keep_their_spelling(asr, model_path, noise_file, tmp_path):
    (tmp_path / "text.txt").write_text("\u201cAbe, -- a fed-head!\u201d\n", encoding="utf-8")
    result = asr("align", noise_file("a.wav", 2.0), tmp_path / "text.txt", "-m", model_path, "--format", "json")
    assert result.returncode in (COMPLETE, PARTLY)
    record = json.loads(result.stdout)
    found = [word["text"] for word in record["words"]]
    assert set(found) <= {"\u201cAbe, --", "a", "fed-head!\u201d"}
    lost = sum(int(note.split()[0]) for note in record["notes"] if "not found" in note)
    assert len(found) + lost == 3, "every word is aligned or told of"
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
