"""Pronunciations of Chinese characters in Mandarin: the initial, the final and the tone of pinyin, by pypinyin.

The tone is a unit of its own: of 1,400 characters, 60 units with hundreds of examples each remain in an hour of speech.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

from asr.text.lexicon_file import Pronunciation
from asr.text.normalizer import split_unspaced


def is_chinese(texts: Iterable[str]) -> bool:
    """Whether most letters are Chinese characters, and none is kana, with which they are Japanese.

    >>> is_chinese(["设定二十九度"]), is_chinese(["東京へ行く"]), is_chinese(["ไทย"])
    (True, False, False)
    """
    names = [unicodedata.name(letter, "") for letter in "".join(texts) if letter.isalpha()]
    return 2 * sum(name.startswith("CJK ") for name in names) > len(names) and not any(map(_is_kana, names))


def _is_kana(name: str) -> bool:
    return name.startswith(("HIRAGANA ", "KATAKANA "))


def readings(phrases: Iterable[str]) -> dict[str, Counter[Pronunciation]]:
    """How often the characters of phrases have each pronunciation: 行 is `h ang 2` in 银行, `x ing 2` in 步行.

    Characters that are not Chinese are units of their own, words in Latin letters are left out.
    """
    from pypinyin import Style, lazy_pinyin
    from pypinyin.contrib.tone_convert import to_finals, to_initials

    found: dict[str, Counter[Pronunciation]] = {}
    for phrase in phrases:
        # What is not Chinese stays as it is, in the same units: a list, which pypinyin documents but does not declare.
        read = lazy_pinyin(phrase, Style.TONE3, errors=cast(Any, split_unspaced), neutral_tone_with_five=True)
        for character, syllable in zip(split_unspaced(phrase), read, strict=True):
            if character.isascii():
                continue
            sound, tone = syllable[:-1], syllable[-1]
            units = to_initials(sound), to_finals(sound) or sound, tone
            found.setdefault(character, Counter())[tuple(unit for unit in units if unit)] += 1
    return found
