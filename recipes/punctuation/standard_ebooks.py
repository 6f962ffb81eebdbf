"""Books of Standard Ebooks as a text for training, a paragraph per line: `standard_ebooks.py CLONES OUTPUT BOOKS`.

CLONES is a folder of clones of their repositories, such as those in standard_ebooks.txt. Books that are in BOOKS, be it
for training, dev or test, are left out and named. The text is written as BOOKS is: quotation marks in ASCII, dashes as
`--`, ellipses as `...`, no accents. Verse, notes and headings are left out, and so are paragraphs with other characters
or many semicolons.
"""

import re
import sys
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from choose_books import is_spoken_style

from asr.errors import AsrError, TextError
from asr.utils.compressed_text import read_blocks, writing

XHTML = "{http://www.w3.org/1999/xhtml}"
PACKAGE = "{http://www.idpf.org/2007/opf}"
TYPE = "{http://www.idpf.org/2007/ops}type"
LEFT_OUT = ("z3998:verse", "z3998:poem", "z3998:song", "z3998:hymn", "noteref", "epigraph")
ASCII = str.maketrans(
    {
        **dict.fromkeys("“”", '"'),
        **dict.fromkeys("‘’", "'"),
        **dict.fromkeys("—―", "--"),
        **dict.fromkeys("–‑", "-"),
        **dict.fromkeys("\N{WORD JOINER}\N{ZERO WIDTH NO-BREAK SPACE}\N{SOFT HYPHEN}", ""),
        "…": "...",
        "æ": "ae",
        "œ": "oe",
    }
)
SAMPLE = 50  # letters by which paragraphs are compared
KNOWN = 0.05  # share of a book's paragraphs that BOOKS has, from which on it is the same book


def paragraphs(book: Path) -> Iterator[str]:
    """The paragraphs of a book's chapters, in order. Raises `TextError` for a file that cannot be read."""
    folder = book / "src" / "epub"
    for item in _parse(folder / "content.opf").iterfind(f".//{PACKAGE}itemref"):
        body = _parse(folder / "text" / item.attrib["idref"]).find(f"{XHTML}body")
        if body is not None and "bodymatter" in body.get(TYPE, ""):
            for element in _paragraphs(body):
                text = ascii_text("".join(_text(element)))
                if text.isascii() and text:
                    yield text


def ascii_text(text: str) -> str:
    """Text in the characters of BOOKS, as far as they have it."""
    text = text.replace("\N{HAIR SPACE}…", "…").translate(ASCII)
    letters = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return " ".join("".join(letters).split())


def _parse(path: Path) -> ET.ElementTree:
    try:
        return ET.parse(path)
    except (OSError, ET.ParseError) as error:
        raise TextError(f"{path}: {error}; clone the book again") from error


def _paragraphs(element: ET.Element) -> Iterator[ET.Element]:
    if _left_out(element) or element.tag in (f"{XHTML}header", f"{XHTML}hgroup", f"{XHTML}table"):
        return
    if element.tag == f"{XHTML}p":
        yield element
        return
    for child in element:
        yield from _paragraphs(child)


def _text(element: ET.Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag == f"{XHTML}br":
            yield " "
        elif not _left_out(child):
            yield from _text(child)
        yield child.tail or ""


def _left_out(element: ET.Element) -> bool:
    return any(kind in element.get(TYPE, "") for kind in LEFT_OUT)


def sample(paragraph: str) -> str:
    """The first letters of a paragraph, the same in every edition of a book; empty for a short one."""
    letters = re.sub("[^a-z]", "", paragraph.lower())[:SAMPLE]
    return letters if len(letters) == SAMPLE else ""


def convert(clones: Path, output: Path, books: Path) -> None:
    """Write the paragraphs of the books that are new."""
    found = sorted(path.parents[2] for path in clones.glob("*/src/epub/content.opf"))
    if not found:
        raise TextError(f"{clones}: no clones of Standard Ebooks' repositories; git clone some of standard_ebooks.txt")
    known = {sample(line) for block in read_blocks(books, TextError) for line in block.decode().splitlines()} - {""}
    with writing(output) as file:
        for book in found:
            text = list(filter(is_spoken_style, paragraphs(book)))
            samples = {sample(paragraph) for paragraph in text} - {""}
            if len(samples & known) > KNOWN * len(samples):
                print(f"{book.name}: left out, {books.name} has it")
            else:
                file.write("".join(f"{paragraph}\n" for paragraph in text).encode())


if __name__ == "__main__":
    try:
        convert(*map(Path, sys.argv[1:]))
    except AsrError as error:
        sys.exit(f"error: {error}")
