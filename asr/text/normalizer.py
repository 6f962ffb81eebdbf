"""Normalizers of transcripts, by name: both sides of a comparison, and all training text, go through the same one."""

import re
import unicodedata
from collections.abc import Callable, Iterable

from asr.text.config import TextConfig

# Default_Ignorable_Code_Point (Unicode Standard Annex 44): joiners, soft hyphens, variation selectors, direction marks
# and fillers change how text looks, not its words. U+200B is not among them here, for it separates words.
IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Quotation marks, primes, accents and letters that are used as the apostrophe, some of them in Greek, Hebrew, Armenian.
APOSTROPHES = "\u2018\u2019\u201b\u02b9\u02bb\u02bc\u2032\uff07\uff40\u0060\u00b4\u1fbd\u1fbf\u05f3\u055a\ua78c"
FOLDED = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))
# Lower case makes of Turkish's dotted capital I an i with a second dot, a combining mark.
DOTTED_I = re.compile("i\u0307+")
# For ASCII alone the rules of `basic` are these two.
ASCII = bytes(code if chr(code).isalnum() else ord("'") if chr(code) in "'`" else ord(" ") for code in range(128)) * 2
LONE_APOSTROPHE = re.compile("'(?:(?![a-z0-9])|(?<![a-z0-9]'))")
# `<s>`, `</s>`, `<unk>`, `[noise]`: a tag in brackets, with a letter in it.
TAG = re.compile(r"<[^<>\s]*[^\W\d_][^<>\s]*>|\[[^\[\]\s]*[^\W\d_][^\[\]\s]*\]")

# Beginnings of the names of letters in scripts without spaces between words.
UNSPACED = ("CJK ", "HIRAGANA ", "KATAKANA ", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
LATIN_OR_CHARACTER = re.compile(r"[A-Za-z0-9']+|\S")


def is_unspaced(texts: Iterable[str]) -> bool:
    """Whether most letters are of a script that does not separate words.

    >>> is_unspaced(["设定二十九度", "wifi"]), is_unspaced(["turn on", "七"])
    (True, False)
    """
    letters = [letter for letter in "".join(texts) if letter.isalpha()]
    return 2 * sum(unicodedata.name(letter, "").startswith(UNSPACED) for letter in letters) > len(letters)


def has_characters(words: Iterable[str]) -> bool:
    """Whether the words of a lexicon are those of a script without spaces, single characters and words between them.

    >>> has_characters(["wifi", "七"]), has_characters(["a", "i"])
    (True, False)
    """
    return any(len(word) == 1 and is_unspaced(word) for word in words)


def split_unspaced(text: str) -> list[str]:
    """The units of a text that is written without spaces: its characters, and words in Latin letters.

    >>> split_unspaced("设定 wifi二十九度")
    ['设', '定', 'wifi', '二', '十', '九', '度']
    """
    return LATIN_OR_CHARACTER.findall(text)


def nfc(text: str) -> str:
    """Unicode NFC and single spaces; nothing else changes.

    >>> nfc(" Cafe\\u0301  au lait ")
    'Café au lait'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def basic(text: str) -> str:
    """Lower case, no punctuation or symbols except apostrophes inside words; NFC and single spaces.

    Characters that are never seen are removed, so that they neither split words nor tell equal ones apart.

    >>> basic("Don't stop -- 'now', Mr. O’Neill!")
    "don't stop now mr o'neill"
    """
    if not text.isascii():
        return _basic(text)
    text = text.lower().encode().translate(ASCII).decode()
    return " ".join((LONE_APOSTROPHE.sub(" ", text) if "'" in text else text).split())


def _basic(text: str) -> str:
    """`basic` for characters of any kind, at a twentieth of the speed."""
    text = unicodedata.normalize("NFC", IGNORABLE.sub("", text)).translate(FOLDED).lower()
    kept = []
    for place, character in enumerate(text):
        kind = unicodedata.category(character)
        if character == "'":
            # Inside a word: behind a letter, digit or combining mark, and before a letter or digit.
            inside = kept and kept[-1] not in " '" and text[place + 1 : place + 2].isalnum()
            kept.append("'" if inside else " ")
        elif kind[0] in "PSZC":
            kept.append(" ")
        elif kind[0] != "M":
            kept.append(character)
        elif kind != "Me" and kept and kept[-1] not in " '":
            # Other marks have lost their base, a symbol: a keycap or an emoji's accent is not a word.
            kept.append(character)
    return nfc(DOTTED_I.sub("i", "".join(kept)))


NORMALIZERS: dict[str, Callable[[str], str]] = {"nfc": nfc, "basic": basic}


def normalize(text: str, config: TextConfig) -> str:
    """Apply the configured normalizer, then the configured replacements."""
    text = NORMALIZERS[config.normalizer](text)
    for old, new in config.replace.items():
        text = text.replace(old, new)
    return nfc(text) if config.replace else text


def find_tags(text: str, config: TextConfig) -> list[str]:
    """Tags such as `<unk>` and `[noise]` of which normalising a transcript would make words, or leave them as they are.

    >>> find_tags("[noise] yes <unk>", TextConfig())
    ['[noise]', '<unk>']
    """
    if not config.replace and "<" not in text and "[" not in text:
        return []
    # 'basic' drops the brackets; elsewhere a replacement may take the tag away.
    return TAG.findall(text if config.normalizer == "basic" else normalize(text, config))
