"""Queries, states, and compiled files: what they hold, when they are made again, and damaged ones."""

import json
import math
import os
import shutil

import numpy as np
import pytest
import safetensors.numpy

from asr.errors import LanguageModelError
from asr.lm.arpa import read_arpa, write_arpa
from asr.lm.ngram import NgramModel, load_compiled, save_compiled
from asr.lm.query import query
from asr.lm.trie import build_trie

WORDS = ["<unk>", "<s>", "</s>", "a", "b"]
P = {
    "<unk>": 0.1,
    "<s>": 1e-30,
    "</s>": 0.2,
    "a": 0.3,
    "b": 0.4,
    "<s> a": 0.5,
    "a b": 0.6,
    "b </s>": 0.7,
    "<s> a b": 0.9,
}
WEIGHT = {"<s>": 0.5, "a": 0.4, "b": 0.3, "<s> a": 0.8, "a b": 0.7}


def trie(p=P):
    return build_trie(
        WORDS,
        [np.zeros(5, int), np.array([1, 3, 4]), np.array([0])],
        [np.arange(5), np.array([3, 4, 2]), np.array([4])],
        [np.log([p[gram] for gram in p if len(gram.split()) == n]) for n in (1, 2, 3)],
        [np.log([WEIGHT.get(gram, 1) for gram in p if len(gram.split()) == n]) for n in (1, 2)],
    )


@pytest.fixture
def model():
    return NgramModel.from_trie(trie())


@pytest.fixture
def arpa(tmp_path, monkeypatch):
    """An ARPA file of the model, and a cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_arpa(tmp_path / "lm.arpa", trie())
    return tmp_path / "lm.arpa"


# Queries


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        # P, and how many words the n-gram has that it comes from
        ("a b", [(0.5, 2), (0.9, 3), (0.7 * 0.7, 2)]),
        ("b a", [(0.5 * 0.4, 1), (0.3 * 0.3, 1), (0.4 * 0.2, 1)]),
        ("a b a b", [(0.5, 2), (0.9, 3), (0.7 * 0.3 * 0.3, 1), (0.6, 2), (0.7 * 0.7, 2)]),
        ("a dog b", [(0.5, 2), (0.8 * 0.4 * 0.1, 1), (0.4, 1), (0.7, 2)]),
        ("", [(0.5 * 0.2, 1)]),
    ],
)
def test_score(model, sentence, expected):
    scores = model.score(sentence.split())
    assert [(math.exp(logp), order) for logp, order in scores] == [(pytest.approx(p), order) for p, order in expected]


def test_states_keep_only_what_later_words_depend_on(model):
    id = model.index

    def state(*words):
        reached = model.begin if words[0] == "<s>" else 0
        for word in words[words[0] == "<s>" :]:
            _, reached = query(model.arrays, reached, id[word])
        return reached

    assert state("a", "b") == state("<s>", "a", "b")  # '<s> a b' is no context, its suffix is
    assert state("b", "</s>") == state("a", "<unk>") == 0  # nothing continues these
    assert state("a", "a") == state("b", "a") == state("a")
    assert len({state("a"), state("b"), state("<s>", "a"), state("a", "b"), 0}) == 5


def test_properties_of_a_model(model):
    assert (model.order, model.counts, model.words) == (3, [5, 3, 1], WORDS)
    assert (model.unknown, model.end, model.index["b"]) == (0, 2, 4)
    for array in model.arrays:
        assert type(array) is np.ndarray
        assert not array.flags.writeable


def test_a_model_without_sentence_limits():
    words = ["<unk>", "a"]
    only = NgramModel.from_trie(build_trie(words, [np.zeros(2, int)], [np.arange(2)], [np.log([0.25, 0.75])], []))
    assert (only.begin, only.end, only.order) == (0, -1, 1)
    assert [math.exp(logp) for logp, _ in only.score(["a", "b"])] == pytest.approx([0.75, 0.25])


# Compiled files


def assert_same(one, other):
    assert (one.words, one.starts) == (other.words, other.starts)
    for name, array in one.arrays._asdict().items():
        assert np.array_equal(array, getattr(other.arrays, name)), name


def test_compiled_file_is_the_same_model_and_mapped(model, tmp_path):
    save_compiled(tmp_path / "lm.asrlm", model)
    loaded = NgramModel.load(tmp_path / "lm.asrlm")
    assert_same(loaded, model)
    for array in loaded.arrays:
        assert type(array) is np.ndarray
        assert not array.flags.writeable
        assert not array.flags.owndata
    assert loaded.score(["a", "b"]) == model.score(["a", "b"])


def test_compiled_file_is_safetensors(model, tmp_path):
    save_compiled(tmp_path / "lm.asrlm", model)
    tensors = safetensors.numpy.load_file(tmp_path / "lm.asrlm")
    assert np.array_equal(tensors["logp"], model.arrays.logp)
    assert tensors["words"].tobytes().decode().split("\n") == WORDS


def test_arpa_is_compiled_once(arpa, model, monkeypatch):
    first = NgramModel.load(arpa)
    monkeypatch.setattr("asr.lm.arpa.read_arpa", None)  # reading it again would fail
    again = NgramModel.load(arpa)
    assert (arpa.parent / "lm.arpa.asrlm").is_file()
    assert_same(first, again)
    assert first.words == model.words
    np.testing.assert_allclose(first.arrays.logp, model.arrays.logp, rtol=1e-6)


def test_a_copied_compiled_file_is_still_right(arpa, tmp_path, monkeypatch):
    """Copying changes the time; the content decides, once."""
    NgramModel.load(arpa)
    os.utime(arpa, (1, 1))
    monkeypatch.setattr("asr.lm.arpa.read_arpa", None)
    NgramModel.load(arpa)
    monkeypatch.setattr("asr.lm.ngram._hash", None)
    NgramModel.load(arpa)


def test_a_changed_arpa_is_compiled_again(arpa):
    assert NgramModel.load(arpa).score(["a"])[0][0] == pytest.approx(math.log(0.5))
    write_arpa(arpa, trie(P | {"<s> a": 0.25}))
    assert NgramModel.load(arpa).score(["a"])[0][0] == pytest.approx(math.log(0.25))


def test_an_arpa_of_the_same_size_is_compiled_again(arpa):
    NgramModel.load(arpa)
    status, content = arpa.stat(), arpa.read_text()
    arpa.write_text(content.replace("-0.30103\t<s> a", "-0.40103\t<s> a"))
    assert arpa.stat().st_size == status.st_size
    assert NgramModel.load(arpa).score(["a"])[0][0] == pytest.approx(-0.40103 * math.log(10))


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-1], lambda data: data[:100], lambda data: b"", lambda data: data * 2]
)
def test_a_damaged_cache_is_replaced(arpa, spoil):
    expected = NgramModel.load(arpa).score(["a"])
    cached = arpa.parent / "lm.arpa.asrlm"
    data = cached.read_bytes()
    cached.write_bytes(spoil(data))
    assert NgramModel.load(arpa).score(["a"]) == expected
    assert cached.read_bytes() == data


def test_a_folder_that_cannot_be_written_to(arpa, tmp_path, monkeypatch):
    (tmp_path / "lm.arpa.asrlm").mkdir()  # nothing can be renamed to this
    expected = NgramModel.load(arpa)
    [cached] = (tmp_path / "cache/asr/lm").iterdir()
    assert cached.name.startswith("lm-")
    monkeypatch.setattr("asr.lm.arpa.read_arpa", None)
    assert_same(NgramModel.load(arpa), expected)


def test_nowhere_to_write_to(arpa, model, tmp_path, full_disk):
    with full_disk(0):
        loaded = NgramModel.load(arpa)
    assert loaded.words == model.words
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["lm.arpa"]


def test_an_older_compiled_model_outlives_its_arpa(arpa, tmp_path):
    NgramModel.load(arpa)
    shutil.move(tmp_path / "lm.arpa.asrlm", tmp_path / "small.asrlm")
    arpa.unlink()
    assert NgramModel.load(tmp_path / "small.asrlm").order == 3


# Bad files


def with_metadata(data, **changes):
    """The file with other metadata in its header."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = json.loads(header["__metadata__"]["asr"]) | changes
    header["__metadata__"]["asr"] = json.dumps(metadata)
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data[8 + length :]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-1], "cut short or damaged"),
        (lambda data: data[: len(data) // 2], "cut short or damaged"),
        (lambda data: data[:200], "cut short or damaged"),
        (lambda data: data[:50] + b"\0" + data[51:], "cut short or damaged"),
        (lambda data: data[:-30] + bytes([data[-30] ^ 1]) + data[-29:], "its checksum is wrong"),
        (lambda data: with_metadata(data, format_version=99), "format version 99 is newer than this program"),
        (lambda data: with_metadata(data, starts=None), "cut short or damaged"),
        (lambda data: safetensors.numpy.save({"a": np.zeros(3)}), "not a language model"),
        (lambda data: b"", "the file is empty"),
        (lambda data: b"RIFF\0\0\0\0WAVEfmt ", "not an ARPA file"),
    ],
)
def test_bad_files(model, tmp_path, spoil, message):
    path = tmp_path / "lm.asrlm"
    save_compiled(path, model)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(LanguageModelError, match=message) as caught:
        NgramModel.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_every_changed_bit_is_noticed(model, tmp_path):
    path = tmp_path / "lm.asrlm"
    save_compiled(path, model)
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    for place in range(start, len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 64]) + data[place + 1 :])
        with pytest.raises(LanguageModelError, match="checksum"):
            load_compiled(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(LanguageModelError, match=r"gone\.arpa: no such language model; `asr lm train` makes one"):
        NgramModel.load(tmp_path / "gone.arpa")


def test_the_source_stays_readable(arpa):
    assert read_arpa(arpa).counts == [5, 3, 1]
