"""Transcripts -> phones by a lexicon, for the phone layer of a network."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asr.errors import TextError
from asr.text.lexicon_file import read_lexicon
from asr.text.normalizer import has_characters, split_unspaced


class Phones:
    """The phones of a lexicon, numbered by name from 1, or those of a given inventory; index 0 is the CTC blank."""

    def __init__(self, lexicon: Mapping[str, Sequence[Sequence[str]]], pieces: Sequence[str] = ()):
        self._lexicon = lexicon
        used = {phone for variants in lexicon.values() for each in variants for phone in each}
        self.pieces = list(pieces) or ["", *sorted(used)]
        if unknown := used - set(self.pieces):
            raise TextError(f"phones that the base lacks: {', '.join(sorted(unknown))}")
        self._index = {piece: index for index, piece in enumerate(self.pieces)}
        self._split = split_unspaced if has_characters(lexicon) else str.split

    @classmethod
    def read(cls, path: Path, pieces: Sequence[str] = ()) -> "Phones":
        """The phones of a lexicon file; raises `LexiconError` naming a file that cannot be used."""
        return cls(read_lexicon(path), pieces)

    def encode(self, text: str) -> list[int]:
        """The phones of a normalised text, each word in its first pronunciation. In a lexicon of a script without
        spaces, words are single characters.

        Raises `TextError` for a word without one.
        """
        try:
            return [self._index[phone] for word in self._split(text) for phone in self._lexicon[word][0]]
        except KeyError as error:
            raise TextError(f"no pronunciation of '{error.args[0]}'") from None

    def lacking(self, texts: Iterable[str]) -> Counter:
        """The words that the lexicon lacks, with their counts."""
        return Counter(word for text in texts for word in self._split(text) if word not in self._lexicon)
