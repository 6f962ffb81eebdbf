"""Text files of all kinds: byte order marks are dropped, and only LF, CRLF and CR end a line."""

import pytest

from asr.config import load_recipe
from asr.decoding.hotwords import read_hotwords
from asr.errors import ManifestError
from asr.text.lexicon_file import read_lexicon
from asr.utils.files import read_lines, read_table, read_text

ODD = "one\u2028two\x85three\x0bfour\x0cfive\x1csix"  # str.splitlines cuts at each of these


@pytest.fixture
def file(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "file.txt"
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines(file, end):
    lines = ["\ufeffа", "", ODD, "last"]
    for text in (end.join(lines), end.join(lines) + end):
        assert read_lines(file(text), ManifestError, "") == ["а", "", ODD, "last"]
    assert read_lines(file(""), ManifestError, "") == []


def test_tables(file):
    text = f"\ufeffa\tone  two\n\n b \t {ODD}\r\nc\nd  \n"
    assert read_table(file(text), ManifestError, "") == [
        (1, "a", "one  two"),
        (3, "b", ODD),
        (4, "c", ""),
        (5, "d", ""),
    ]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding(file, encoding):
    with pytest.raises(ManifestError, match=r"file\.txt: not UTF-8 text .* iconv"):
        read_text(file("café", encoding), ManifestError, "")


def test_byte_order_marks_of_recipes_lexicons_and_hotwords(file):
    assert load_recipe(file("\ufeff[model]\nwidth = 64\n")).model.width == 64
    assert read_lexicon(file("\ufeffone  W AH N\ntwo  T UW\n")) == {"one": [("W", "AH", "N")], "two": [("T", "UW")]}
    assert [phrase.text for phrase in read_hotwords(file("\ufeffedison\nmenlo park\n"), 5.0)] == [
        "edison",
        "menlo park",
    ]
    assert read_hotwords(file("\ufeff# none\n"), 5.0) == []
