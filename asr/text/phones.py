"""Transcripts -> phones by a lexicon, for the phone layer of a network; and phones in context.

A network may tell apart a phone at the beginning of a word, after a vowel and after a consonant: its inventory has
`#-AH`, `V-AH` or `C-AH` beside `AH`, which stands for the other contexts (phones in left context, tied by counts).
Lexicons have phones without context.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path

from asr.errors import TextError
from asr.text.lexicon_file import read_lexicon
from asr.text.normalizer import has_characters, split_unspaced

BEGINNING, AFTER_VOWEL, AFTER_CONSONANT = CONTEXTS = "#-", "V-", "C-"


class Phones:
    """The phones of a lexicon, numbered by name from 1, or those of a given inventory; index 0 is the CTC blank."""

    def __init__(self, lexicon: Mapping[str, Sequence[Sequence[str]]], pieces: Sequence[str] = ()):
        self._lexicon = lexicon
        used = {phone for variants in lexicon.values() for each in variants for phone in each}
        self.pieces = list(pieces) or ["", *sorted(used)]
        self._index = {piece: index for index, piece in enumerate(self.pieces)}
        if unknown := used - self._index.keys():
            raise TextError(f"phones that the base lacks: {', '.join(sorted(unknown))}")
        self._split = split_unspaced if has_characters(lexicon) else str.split
        self._encoded: dict[str, list[int]] = {}  # words encoded before

    @classmethod
    def read(cls, path: Path, pieces: Sequence[str] = ()) -> "Phones":
        """The phones of a lexicon file; raises `LexiconError` naming a file that cannot be used."""
        return cls(read_lexicon(path), pieces)

    def in_context(self, texts: Iterable[str], least: int) -> "Phones":
        """The same with phones in context where these normalised texts have them `least` times; the most frequent
        context of each phone has no unit of its own."""
        words = Counter(word for text in texts for word in self._split(text))
        counts: Counter = Counter()
        for word, count in words.items():
            for phone, context in _contexts(self._lexicon.get(word, [()])[0]):
                counts[phone, context] += count
        common = {phone: max(CONTEXTS, key=lambda context: counts[phone, context]) for phone in self.pieces}
        units = [c + p for (p, c), count in counts.items() if count >= least and c != common[p]]
        return Phones(self._lexicon, ["", *sorted([*self.pieces[1:], *units])])

    def encode(self, text: str) -> list[int]:
        """The phones of a normalised text, each word in its first pronunciation. In a lexicon of a script without
        spaces, words are single characters.

        Raises `TextError` for a word without one.
        """
        return [phone for word in self._split(text) for phone in self._encode(word)]

    def _encode(self, word: str) -> list[int]:
        if word not in self._encoded:
            if word not in self._lexicon:
                raise TextError(f"no pronunciation of '{word}'")
            self._encoded[word] = [self._index[unit] for unit in units_of(self._lexicon[word][0], self._index)]
        return self._encoded[word]

    def lacking(self, texts: Iterable[str]) -> Counter:
        """The words that the lexicon lacks, with their counts."""
        return Counter(word for text in texts for word in self._split(text) if word not in self._lexicon)


def units_of(pronunciation: Sequence[str], inventory: Container[str]) -> list[str]:
    """The units of a network's inventory that a word's phones are: each in its context, if that has a unit."""
    pairs = _contexts(pronunciation)
    return [unit if (unit := context + phone) in inventory else phone for phone, context in pairs]


def phone_of(unit: str) -> str:
    """The phone of a unit, without its context."""
    return unit[2:] if unit.startswith(CONTEXTS) and len(unit) > 2 else unit


def _contexts(pronunciation: Sequence[str]) -> list[tuple[str, str]]:
    """Each phone with its context. Names of vowels begin with one of AEIOU, as in ARPABET."""
    kinds = [AFTER_VOWEL if phone[:1].upper() in "AEIOU" else AFTER_CONSONANT for phone in pronunciation]
    return list(zip(pronunciation, [BEGINNING, *kinds], strict=False))
