"""Compiled lexicons on disk: the same search as from the text, and made again when anything they depend on changes."""

import numpy as np
import pytest

from asr.decoding import compiled_lexicon
from asr.decoding.compiled_lexicon import load_lexicon
from asr.decoding.lexicon import Lexicon
from asr.lm.ngram import NgramModel
from asr.utils.array_file import read_array_file, write_array_file

PHONES = ["", " ", "AH", "K", "T", "AE", "D"]
LETTERS = ["", " ", *"abcdkt"]
CMUDICT = "cat  K AE1 T\ncat(2)  K AH0 T\ncad  K AE D\nkat  K AE T\n"
ARPA = """\\data\\
ngram 1=6

\\1-grams:
-99\t<s>
-1\t</s>
-2\t<unk>
-0.5\tcat
-0.9\tcad
-1.5\tkat

\\end\\
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a lexicon and a language model; the user's cache is below `tmp_path`, too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "lexicon.txt").write_text(CMUDICT)
    (folder / "lm.arpa").write_text(ARPA)
    return folder


def load(folder, lm="lm.arpa", phones=PHONES):
    return load_lexicon(folder / "lexicon.txt", NgramModel.load(folder / lm), str(folder / lm), LETTERS, phones)


def parsed(folder, phones=PHONES):
    return Lexicon.read(folder / "lexicon.txt", LETTERS, phones)


def assert_same(found: Lexicon, expected: Lexicon, lm: NgramModel):
    assert (found.words, found.token_symbols) == (expected.words, expected.token_symbols)
    assert (found.joined, found.pronounced) == (expected.joined, expected.pronounced)
    for name in ("symbols", "offsets", "spelled", "starts"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    (graph, ahead), (expected_graph, expected_ahead) = found.compile(lm), expected.compile(lm)
    assert all(map(np.array_equal, graph, expected_graph)) and np.array_equal(ahead, expected_ahead)


def refuse_to_parse(monkeypatch):
    monkeypatch.setattr(Lexicon, "read", None)
    monkeypatch.setattr(Lexicon, "of_model", None)


def test_a_lexicon_is_parsed_once(folder, monkeypatch):
    expected, lm = parsed(folder), NgramModel.load(folder / "lm.arpa")
    assert_same(load(folder), expected, lm)
    assert (folder / "lexicon.txt.asrlex").is_file()
    refuse_to_parse(monkeypatch)
    assert_same(load(folder), expected, lm)


def test_the_words_of_a_language_model_are_compiled_once(folder, monkeypatch):
    name = str(folder / "lm.arpa")
    lm = NgramModel.load(name)
    expected = Lexicon.of_model(lm, LETTERS, name)
    load_lexicon(None, lm, name, LETTERS, ())
    refuse_to_parse(monkeypatch)
    assert_same(load_lexicon(None, NgramModel.load(name), name, LETTERS, ()), expected, lm)


def test_what_a_lexicon_was_made_from_is_compared(folder):
    load(folder)
    (folder / "lexicon.txt").write_text(CMUDICT + "dad  D AE D\n")
    assert "dad" in load(folder).words
    reordered = [*PHONES[:2], *reversed(PHONES[2:])]
    assert_same(load(folder, phones=reordered), parsed(folder, reordered), NgramModel.load(folder / "lm.arpa"))
    (folder / "other.arpa").write_text(ARPA.replace("-0.9", "-0.2"))
    other = NgramModel.load(folder / "other.arpa")
    assert_same(load(folder, "other.arpa"), parsed(folder), other)


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:50], lambda data: b""])
def test_a_damaged_file_is_made_again(folder, spoil):
    load(folder)
    cached = folder / "lexicon.txt.asrlex"
    data = cached.read_bytes()
    cached.write_bytes(spoil(data))
    assert load(folder).words == parsed(folder).words
    assert cached.read_bytes() == data


def test_no_changed_byte_goes_unnoticed(tmp_path):
    path = tmp_path / "arrays"
    write_array_file(path, {"small": np.arange(3, dtype=np.uint8), "large": np.arange(5.0)}, {"key": "é", "n": [1]})
    arrays, metadata = read_array_file(path)
    assert arrays["small"].tolist() == [0, 1, 2] and arrays["large"].tolist() == [0, 1, 2, 3, 4]
    assert metadata == {"key": "é", "n": [1]}
    data = path.read_bytes()
    padding = data.index(b"}}") + 2, data.index(b"}}") + 2 + 64
    for place, byte in enumerate(data):
        if padding[0] <= place < padding[1] and byte == ord(" "):
            continue  # JSON ignores white space here
        path.write_bytes(data[:place] + bytes([byte ^ 1]) + data[place + 1 :])
        with pytest.raises((ValueError, OSError)):
            read_array_file(path)


def test_a_folder_that_cannot_be_written_to(folder, tmp_path, monkeypatch):
    (folder / "lexicon.txt.asrlex").mkdir()  # nothing can be renamed to this
    expected = load(folder)
    assert len(list((tmp_path / "cache/asr/lex").iterdir())) == 1
    refuse_to_parse(monkeypatch)
    assert_same(load(folder), expected, NgramModel.load(folder / "lm.arpa"))


def test_nowhere_to_write_to(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compiled_lexicon, "write_array_file", full)
    assert load(folder).words == ["cad", "cat", "kat"]
    assert not list(folder.glob("*.asrlex"))
