"""Numbers in digits -> words, as they are spoken."""

import re
from collections.abc import Callable

from asr.errors import ConfigError, TextError

YEARS = range(1100, 2100)  # four digits that are read in pairs: nineteen eighty-four
NUMBER = re.compile(r"(?P<digits>\d+(?:,\d{3})*)(?P<fraction>\.\d+)?(?P<ordinal>(?:st|nd|rd|th)\b)?", re.IGNORECASE)


def number_speller(language: str) -> Callable[[str], str]:
    """A function that spells out the numbers in a word: "42nd" -> "forty-second". With 'none' it changes nothing.

    Raises `ConfigError` for a language that num2words lacks, or without num2words.
    """
    if language == "none":
        return lambda word: word
    try:
        from num2words import CONVERTER_CLASSES, num2words
    except ImportError as error:
        raise ConfigError("--numbers: num2words is not installed; pip install 'small-asr[numbers]'") from error
    if language not in CONVERTER_CLASSES:
        raise ConfigError(f"--numbers {language}: no such language; known: {', '.join(sorted(CONVERTER_CLASSES))}")

    def spell(match: re.Match) -> str:
        digits, fraction = match["digits"], match["fraction"] or ""
        plain = digits.replace(",", "")
        if match["ordinal"]:
            kind = "ordinal"
        else:
            kind = (
                "year" if digits == plain and len(plain) == 4 and int(plain) in YEARS and not fraction else "cardinal"
            )
        try:
            return f" {num2words(plain + fraction if fraction else int(plain), lang=language, to=kind)} "
        except (NotImplementedError, OverflowError) as error:
            raise TextError(f"'{match[0]}': num2words cannot spell it ({error}); write it out") from error

    return lambda word: NUMBER.sub(spell, word)
