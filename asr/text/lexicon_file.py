"""Lexicon files: words with their pronunciations or tokens, in the format of CMUdict."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from asr.errors import LexiconError
from asr.utils.files import read_lines, write_atomically

Pronunciation = tuple[str, ...]
VARIANT = re.compile(r"\(\d+\)$")  # CMUdict's mark of a second pronunciation, as in READ(2)


def write_lexicon(path: Path, found: dict[str, list[Pronunciation]]) -> None:
    """Write one line `word  P H OW N` per pronunciation, words in sorted order."""
    lines = (f"{word}  {' '.join(phones)}\n" for word in sorted(found) for phones in found[word])
    write_atomically(path, "".join(lines))


def read_lexicon(path: Path) -> dict[str, list[Pronunciation]]:
    """The pronunciations of each word, in the file's order. Raises `LexiconError` naming a file without any."""
    rows = read_rows(path)
    if not rows[0][1]:
        raise LexiconError(f"{path}: words without pronunciations; `asr lexicon` adds them")
    return group_pronunciations(rows)


def read_rows(path: Path) -> list[tuple[str, list[str]]]:
    """The lines of a lexicon: words with their tokens, or words only.

    The format is CMUdict's: `READ(2)  R EH1 D` is READ; `;;;` and `#` begin comments. Raises `LexiconError`.
    """
    lines = read_lines(path, LexiconError, "give a lexicon, one word per line")
    fields = [line.partition(" #")[0].split() for line in lines if not line.startswith((";;;", "#"))]
    rows = [(VARIANT.sub("", row[0]), row[1:]) for row in fields if row]
    if not rows:
        raise LexiconError(f"{path}: no words; a lexicon has one word per line, optionally followed by its tokens")
    short = [word for word, tokens in rows if not tokens]
    if 0 < len(short) < len(rows):
        raise LexiconError(f"{path}: '{short[0]}' has no tokens, but other words do")
    return rows


def group_pronunciations(rows: Iterable[tuple[str, Sequence[str]]]) -> dict[str, list[Pronunciation]]:
    """The different pronunciations of each word."""
    found: dict[str, dict[Pronunciation, None]] = {}
    for word, phones in rows:
        found.setdefault(word, {})[tuple(phones)] = None
    return {word: list(variants) for word, variants in found.items()}
