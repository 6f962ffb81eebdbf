"""Lines of a text file, read aloud: chosen by the seed from all of it, each once, kept small."""

import gzip
import lzma

import numpy as np
import pytest
import soundfile
from command_line import ERROR, assert_told

from asr.data.config import SyntheticConfig
from asr.data.corpora.sentences import choose_sentences
from asr.data.corpora.synthetic import generate
from asr.errors import ManifestError

COUNTS = {"train": 6, "dev": 2, "test": 2}
NAMES = ["amber", "birch", "cedar", "delta", "ember", "frost", "grove", "hazel", "iris", "jasper"]
LINES = [f"the {first} is not the {second}" for first in NAMES for second in NAMES]


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def text(tmp_path):
    return write(tmp_path / "text.txt", LINES)


def read(text, folder, **changes):
    """The candidates by id, and their samples."""
    candidates = {c.id: c for c in generate(str(text), folder, SyntheticConfig(**{**COUNTS, **changes}))}
    return candidates, {id: soundfile.read(candidate.audio) for id, candidate in candidates.items()}


@pytest.mark.slow
def test_each_utterance_reads_another_line_in_a_synthetic_voice(text, tmp_path):
    candidates, sounds = read(text, tmp_path)
    assert len({c.text for c in candidates.values()}) == 10 and {c.text for c in candidates.values()} <= set(LINES)
    assert [c.subset for c in candidates.values()] == ["train"] * 6 + ["dev"] * 2 + ["test"] * 2
    voices = {subset: {c.speaker for c in candidates.values() if c.subset == subset} for subset in COUNTS}
    assert not voices["train"] & (voices["dev"] | voices["test"]) and not voices["dev"] & voices["test"]
    for id, candidate in candidates.items():
        samples, rate = sounds[id]
        assert candidate.extra["synthetic"] and rate == 16000
        assert 1 < len(samples) / rate < 6 and 0.05 < np.abs(samples).max() <= 1
        assert candidate.audio.stat().st_size < len(samples)  # half of 16 bits each, and less


@pytest.mark.slow
def test_the_same_seed_gives_the_same_samples_in_a_larger_corpus(text, tmp_path):
    candidates, sounds = read(text, tmp_path / "first")
    larger, larger_sounds = read(text, tmp_path / "larger", train=8)
    assert set(larger) - set(candidates) == {"train-00006", "train-00007"}
    for id, candidate in candidates.items():
        assert candidate.text == larger[id].text and np.array_equal(sounds[id][0], larger_sounds[id][0])


def test_the_seed_chooses_from_the_whole_file(text):
    chosen = [choose_sentences(text, COUNTS, seed) for seed in range(40)]
    assert chosen[0] != chosen[1]
    times = np.array([sum(line in part for choice in chosen for part in choice.values()) for line in LINES])
    assert times.sum() == 400 and times.max() <= 14  # 4 expected of each
    tenths = times.reshape(10, 10).sum(1)
    assert tenths.min() >= 20 and tenths.max() <= 60


def test_a_sentence_that_occurs_often_is_taken_once_and_no_more_likely(tmp_path):
    often = write(tmp_path / "often.txt", [*LINES, *[LINES[0]] * 500])
    assert choose_sentences(often, COUNTS, 3) == choose_sentences(write(tmp_path / "once.txt", LINES), COUNTS, 3)


def test_lines_too_short_too_long_or_without_letters_are_not_taken(tmp_path):
    left_out = ["one", "", "word " * 21, "12 13 14", "-- --"]
    text = write(tmp_path / "text.txt", [*left_out * 5, "two  words", "word " * 20])
    chosen = choose_sentences(text, {"train": 1, "dev": 1, "test": 0}, 0)
    assert {*chosen["train"], *chosen["dev"]} == {"two words", " ".join(["word"] * 20)}


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("xz", lzma.compress)])
def test_compressed_text(text, tmp_path, suffix, compress):
    compressed = tmp_path / f"text.txt.{suffix}"
    compressed.write_bytes(compress(text.read_bytes()))
    assert choose_sentences(compressed, COUNTS, 0) == choose_sentences(text, COUNTS, 0)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("short.txt", b"two words\n" * 50, "1 different lines of 2 to 20 words, but 10 utterances"),
        ("latin.txt", b"two words\ncaf\xe9 au lait\n", "latin.txt:2: not UTF-8"),
        ("cut.txt.xz", lzma.compress(b"two words\n" * 50)[:-20], "cut short or damaged"),
        ("absent.txt", None, "no such file"),
    ],
)
def test_a_text_that_cannot_be_read_from(asr, tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    sizes = [f"--synthetic.{subset}={count}" for subset, count in COUNTS.items()]
    result = asr("prepare", "synthetic", tmp_path / name, "-o", tmp_path / "out", *sizes)
    assert_told(result, ERROR, tmp_path / name, told)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_text_by_another_name(tmp_path):
    with pytest.raises(ManifestError, match=r"notes\.md.*\.txt, \.txt\.gz, \.txt\.xz"):
        next(generate("notes.md", tmp_path, SyntheticConfig()))
