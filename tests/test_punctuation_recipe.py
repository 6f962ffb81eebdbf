"""recipes/punctuation: books of Standard Ebooks as a text."""

import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).parent.parent / "recipes/punctuation"
CHAPTER = """<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">
<body epub:type="bodymatter z3998:fiction"><section><h2>I</h2>{}
<blockquote epub:type="z3998:verse"><p>A rose is a rose.</p></blockquote></section></body></html>"""
NOTES = CHAPTER.replace("bodymatter", "backmatter")
PACKAGE = """<package xmlns="http://www.idpf.org/2007/opf"><spine>
<itemref idref="two.xhtml"/><itemref idref="one.xhtml"/><itemref idref="notes.xhtml"/></spine></package>"""
KNOWN = "It was a bright cold day, and the clocks of the town were striking."


@pytest.fixture
def clones(tmp_path):
    """A folder of books: `clones(name, first, second)` adds one with two chapters, the second first in the spine."""

    def add(name, first, second):
        epub = tmp_path / "clones" / name / "src/epub"
        (epub / "text").mkdir(parents=True)
        (epub / "content.opf").write_text(PACKAGE)
        (epub / "text/one.xhtml").write_text(CHAPTER.format(first))
        (epub / "text/two.xhtml").write_text(CHAPTER.format(second))
        (epub / "text/notes.xhtml").write_text(NOTES.format("<p>See above.</p>"))
        return epub

    return add


@pytest.fixture
def convert(tmp_path):
    """Runs the script; returns its exit status, what it printed, and the text."""

    def run():
        books, output = tmp_path / "books.txt", tmp_path / "more.txt"
        (tmp_path / "clones").mkdir(exist_ok=True)
        books.write_text(f"{KNOWN}\n")
        command = [sys.executable, RECIPE / "standard_ebooks.py", tmp_path / "clones", output, books]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr, output.read_text() if output.exists() else None

    return run


def test_paragraphs_are_written_in_ascii(clones, convert):
    note = '<a epub:type="noteref">1</a>'
    first = f"<p>“Don’t—\u2060that’s <i>Zoë’s</i>\u200a…” said <abbr>Mr.</abbr>\u00a0Hall.{note}</p>"
    clones("new", first, "<p>One<br/>two.</p><p>Σ.</p><p>So; and so; and so.</p>")
    assert convert() == (0, "", "One two.\n\"Don't--that's Zoe's...\" said Mr. Hall.\n")


def test_known_books_are_left_out(clones, convert):
    clones("known", f"<p>{KNOWN.replace(',', ';')}</p>", "<p>Then.</p>")
    clones("new", "<p>He came.</p>", "<p>She went.</p>")
    assert convert() == (0, "known: left out, books.txt has it\n", "She went.\nHe came.\n")


def test_a_book_that_cannot_be_read_is_an_error(clones, convert):
    (clones("broken", "<p>He came.</p>", "<p>She went.</p>") / "text/one.xhtml").unlink()
    status, printed, text = convert()
    assert status == 1 and "one.xhtml" in printed and "clone the book again" in printed and text is None


def test_no_books_are_an_error(convert):
    status, printed, text = convert()
    assert status == 1 and "git clone" in printed and text is None
