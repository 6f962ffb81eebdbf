"""Normalised transcripts -> tokens and back: two tokenizers with the same methods.

Index 0 is the CTC blank in every tokenizer. A token's *piece* is its text; a space in a piece begins a new word, so
words and their times follow from the pieces alone, whatever the units are.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np

from asr.errors import ModelFileError, TextError
from asr.text.config import TextConfig
from asr.text.normalizer import nfc

if TYPE_CHECKING:
    import tokenizers

BLANK = 0


def count_unknown(texts: Iterable[str], alphabet: Iterable[str]) -> Counter:
    """The characters outside the alphabet with their counts."""
    known = set(alphabet)
    known_bytes = "".join(filter(str.isascii, known)).encode()

    def is_known(text: str) -> bool:
        """Whether a text has none, as most: for ASCII found out in a fifth of the time that a set takes."""
        if text.isascii():
            return not text.encode().translate(None, known_bytes)
        return known.issuperset(text)

    return Counter(character for text in texts if not is_known(text) for character in text if character not in known)


def name_characters(characters: Counter) -> str:
    """Characters for an error message, most frequent first: `'é' (7), U+200B (1)`."""
    shown = [f"{_name(character)} ({count})" for character, count in characters.most_common(20)]
    return ", ".join(shown) + (f" and {len(characters) - 20} more" if len(characters) > 20 else "")


def _name(character: str) -> str:
    return f"'{character}'" if character.isprintable() else f"U+{ord(character):04X}"


class CharacterTokenizer:
    """One token per character of the alphabet, in the order of the code points, from index 1."""

    units = "characters"

    def __init__(self, alphabet: Iterable[str]):
        self.pieces = ["", *sorted(set(alphabet))]
        self._index = {piece: index for index, piece in enumerate(self.pieces) if index != BLANK}
        if not self._index:
            raise TextError("the alphabet is empty: the training transcripts have no characters")

    def encode(self, text: str) -> list[int]:
        """Token indices of a normalised text; raises `TextError` naming characters outside the alphabet."""
        try:
            return [self._index[character] for character in text]
        except KeyError:
            unknown = name_characters(count_unknown([text], self._index))
            raise TextError(f"characters outside the alphabet: {unknown}") from None

    def encode_all(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of normalised texts end to end, `(tokens,)`, and how many each has, `(texts,)`.

        Characters must be in the alphabet.
        """
        table = np.zeros(max(map(ord, self._index)) + 1, np.int32)
        table[[ord(character) for character in self._index]] = list(self._index.values())
        codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
        return table[codes], np.array([len(text) for text in texts], np.int64)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of token indices; blanks are left out."""
        return nfc("".join(self.pieces[token] for token in tokens))

    def to_json(self) -> str:
        """The tokenizer as JSON text, for the model file."""
        return json.dumps({"units": self.units, "alphabet": "".join(self.pieces)}, ensure_ascii=False)


class BpeTokenizer:
    """Byte-pair units (Sennrich et al. 2016) by Hugging Face's `tokenizers`, which only encoding needs."""

    units = "bpe"
    _SPACE = "▁"

    def __init__(self, model: str):
        self._json = model
        vocabulary = json.loads(model)["model"]["vocab"]
        pieces = sorted(vocabulary, key=vocabulary.__getitem__)
        self.pieces = ["", *(piece.replace(self._SPACE, " ") for piece in pieces)]
        self._characters = {character for piece in self.pieces for character in piece} | {" "}

    @cached_property
    def _encoder(self) -> "tokenizers.Tokenizer":
        import tokenizers

        return tokenizers.Tokenizer.from_str(self._json)

    @classmethod
    def train(cls, texts: Sequence[str], size: int) -> "BpeTokenizer":
        """Learn `size` units from normalised texts; every character that occurs is a unit, however rare it is."""
        import tokenizers
        from tokenizers import models, pre_tokenizers, trainers

        alphabet = {cls._SPACE, *(character for text in texts for character in text if character != " ")}
        if size < len(alphabet):
            raise TextError(f"text.bpe_size is {size}, but the transcripts have {len(alphabet)} characters: raise it")
        model = tokenizers.Tokenizer(models.BPE())
        model.pre_tokenizer = pre_tokenizers.Metaspace(replacement=cls._SPACE, prepend_scheme="always")
        trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(alphabet), show_progress=False)
        model.train_from_iterator(texts, trainer)
        return cls(model.to_str())

    def encode(self, text: str) -> list[int]:
        """Token indices of a normalised text; raises `TextError` naming characters that are in no unit."""
        unknown = count_unknown([text], self._characters)
        if unknown:
            raise TextError(f"characters outside the alphabet: {name_characters(unknown)}")
        return [index + 1 for index in self._encoder.encode(text).ids]

    def encode_all(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of normalised texts end to end, and how many each has; characters must be in a unit."""
        rows = [encoding.ids for encoding in self._encoder.encode_batch_fast(texts)]
        return np.array([index for row in rows for index in row], np.int32) + 1, np.array(
            [len(row) for row in rows], np.int64
        )

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of token indices; blanks are left out."""
        return nfc("".join(self.pieces[token] for token in tokens))

    def to_json(self) -> str:
        """The tokenizer as JSON text, for the model file."""
        return json.dumps({"units": self.units, "model": self._json}, ensure_ascii=False)


Tokenizer = CharacterTokenizer | BpeTokenizer


def separator_of(pieces: Iterable[str]) -> str:
    """What separates words that these pieces write: nothing in a script without spaces."""
    return " " if any(" " in piece for piece in pieces) else ""


def train_tokenizer(texts: Sequence[str], config: TextConfig) -> Tokenizer:
    """The configured tokenizer, from normalised training texts.

    Raises `TextError` listing, with their counts, the characters outside a configured alphabet.
    """
    if config.alphabet:
        unknown = count_unknown(texts, config.alphabet)
        if unknown:
            raise TextError(
                f"characters outside the alphabet: {name_characters(unknown)}; "
                "add them to text.alphabet or map them with text.replace"
            )
    if config.units == "bpe":
        return BpeTokenizer.train(texts, config.bpe_size)
    return CharacterTokenizer(config.alphabet or set(chain.from_iterable(texts)))


def load_tokenizer(text: str) -> Tokenizer:
    """A tokenizer from its `to_json` text."""
    try:
        values = json.loads(text)
        if values["units"] == "bpe":
            return BpeTokenizer(values["model"])
        return CharacterTokenizer("".join(values["alphabet"]))
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise ModelFileError(f"unreadable tokenizer: {error!r}; is the model file damaged?") from error


def frames_needed_each(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """`frames_needed` of references that stand end to end in `tokens` `(tokens,)`, with `lengths` `(references,)`."""
    equal = np.concatenate([[0], np.cumsum(tokens[1:] == tokens[:-1]), [0]])  # neighbours before each position
    ends = np.cumsum(lengths)
    return lengths + np.where(lengths > 1, equal[np.maximum(ends - 1, 0)] - equal[ends - lengths], 0)


def frames_needed(tokens: Sequence[int]) -> int:
    """The fewest output frames in which CTC can emit these tokens: one each, and a blank between equal neighbours
    (Graves et al. 2006)."""
    return len(tokens) + sum(a == b for a, b in pairwise(tokens))
