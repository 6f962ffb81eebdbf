"""Written text <-> plain words, each with two labels: how its letters are capitalised, and the mark behind it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from asr.text.normalizer import APOSTROPHES

CASES = ("lower", "Capitalised", "UPPER", "mixed")
MARKS = ("none", "comma", "full stop", "question mark", "exclamation mark", "semicolon", "dash")
LOWER, CAPITALISED, UPPER, MIXED = range(len(CASES))
NONE, COMMA, FULL_STOP, QUESTION, EXCLAMATION, SEMICOLON, DASH = range(len(MARKS))
WRITTEN = ("", ",", ".", "?", "!", ";", " —")  # what stands behind a word; a colon counts as a semicolon
ENDS = (FULL_STOP, QUESTION, EXCLAMATION)  # of sentences

#: Titles, which speech spells out and writing abbreviates before a name.
TITLES = {"mister": "Mr.", "missus": "Mrs.", "doctor": "Dr.", "saint": "St."}
SPOKEN_TITLES = {written[:-1].lower(): spoken for spoken, written in TITLES.items()}
#: Further abbreviations, whose full stop ends no sentence; neither does that of initials.
ABBREVIATIONS = {"capt", "cf", "col", "esq", "etc", "gen", "hon", "jr", "lieut", "messrs", "prof", "rev", "sr", "vs"}

WORD = re.compile(rf"[^\W\d_]+(?:['{APOSTROPHES}][^\W\d_]+)*")
DASHES = re.compile("--+|[–—]")
# In the order in which they win where several marks stand behind a word.
FOUND = (("?", QUESTION), ("!", EXCLAMATION), ("...", COMMA), ("…", COMMA), (".", FULL_STOP))
FOUND += ((";", SEMICOLON), (":", SEMICOLON), ("--", DASH), ("–", DASH), ("—", DASH), (",", COMMA))
# Prefixes of names behind which another capital letter follows.
MIXED_PREFIX = re.compile("mc|mac|o'|d'|l'|fitz", re.IGNORECASE)


@dataclass(frozen=True)
class LabelledWord:
    """A word as it is spoken, and how it is written."""

    text: str  # lower case
    case: int  # of CASES
    mark: int  # of MARKS, behind the word


def read_piece(piece: str) -> tuple[tuple[LabelledWord, ...], int] | None:
    """The words of a piece of text between white space, and the mark in front of the first one: `--` alone is a mark
    behind the word before it. None for a piece with digits, whose spoken form is unknown."""
    if any(character.isdigit() for character in piece):
        return None
    found = list(WORD.finditer(piece))
    if not found:
        return (), _mark(piece)
    ends = [*(word.start() for word in found[1:]), len(piece)]
    words = [_labelled(word[0], _mark(piece[word.end() : end])) for word, end in zip(found, ends, strict=True)]
    before = piece[: found[0].start()]
    return tuple(words), DASH if DASHES.search(before) else NONE


def _labelled(word: str, mark: int) -> LabelledWord:
    plain = re.sub(f"[{APOSTROPHES}]", "'", word).lower()
    letters = word.replace("'", "")
    case = (
        LOWER if word.islower() else CAPITALISED if word[0].isupper() and letters[1:] == letters[1:].lower() else MIXED
    )
    if case == MIXED and word.isupper():
        case = UPPER
    if mark == FULL_STOP and (plain in ABBREVIATIONS or (len(plain) == 1 and plain != "i")):
        mark = NONE
    if plain in SPOKEN_TITLES:
        plain, mark = SPOKEN_TITLES[plain], NONE if mark == FULL_STOP else mark
    return LabelledWord(plain, case, mark)


def _mark(text: str) -> int:
    return next((mark for written, mark in FOUND if written in text), NONE)


def write(words: Sequence[str], cases: Iterable[int], marks: Iterable[int]) -> Iterator[tuple[str, str]]:
    """Plain words as they are written, each with the mark behind it.

    The first word and those behind full stops begin with a capital letter. Titles are abbreviated before a name.

    >>> " ".join(word + mark for word, mark in write(["mister", "mcgregor", "came"], [1, 3, 0], [0, 0, 2]))
    'Mr. McGregor came.'
    """
    cases, marks, start = [*cases], [*marks], True
    for index, (word, case, mark) in enumerate(zip(words, cases, marks, strict=True)):
        name_follows = index + 1 < len(words) and cases[index + 1] in (CAPITALISED, MIXED) and words[index + 1] != "i"
        if word in TITLES and case == CAPITALISED and mark == NONE and name_follows:
            yield TITLES[word], ""
        else:
            yield capitalised(word, max(case, CAPITALISED) if start else case), WRITTEN[mark]
        start = mark == FULL_STOP


def capitalised(word: str, case: int) -> str:
    """A lower-case word in the letters that its label asks for."""
    if case == LOWER or not word:
        return word
    if case == UPPER:
        return word.upper()
    prefix = MIXED_PREFIX.match(word) if case == MIXED else None
    if prefix and prefix.end() < len(word):
        return capitalised(prefix[0], CAPITALISED) + capitalised(word[prefix.end() :], CAPITALISED)
    return word[0].upper() + word[1:]
