"""Lexicons: words and how tokens spell them, compiled to the tree that the search walks."""

import itertools
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from asr.decoding.arrays import NEW_WORD, ROOT, UNKNOWN, Graph, frozen
from asr.decoding.lexicon_tree import children_of, edges, group, grow, look_ahead
from asr.errors import DecoderError
from asr.lm.ngram import NgramModel
from asr.text.lexicon_file import group_pronunciations, read_rows
from asr.text.normalizer import has_characters
from asr.text.phones import phone_of, units_of
from asr.text.tokenizer import BLANK, name_characters

Entry = tuple[str, Sequence[str]]  # a word and its tokens
#: A word added for one run has this share of the language model's P(<unk>). Of the 19 words of librispeech-dev that the
#: English lexicon lacks, 14 are recognised with it, and the other recordings' WER stays at 13.53% (beam 256).
NEW_WORD_SHARE = 1e-2


@dataclass(frozen=True)
class Lexicon:
    """Words and their spellings in *symbols*: characters, or whole tokens where pronunciations are given.

    A word may have several spellings, and a spelling several words (homophones).
    """

    words: list[str]
    symbols: np.ndarray  # int32, all spellings one after another, sorted
    offsets: np.ndarray  # int64 (spellings + 1,)
    spelled: np.ndarray  # int32 (spellings,) the word of each
    token_symbols: list[tuple[int, ...]]  # what each token contributes to a spelling
    starts: np.ndarray  # uint8 (tokens,) tokens that begin a word
    joined: bool  # words follow one another with no token between them
    pronounced: bool  # symbols are tokens, not characters
    left_out: Counter  # characters that the model cannot write, in words that were left out
    left_out_words: int = 0
    new_words: frozenset[str] = frozenset()  # added by `with_words`
    tree: tuple[Graph, np.ndarray] | None = None  # of `compile`, if it was stored with the lexicon

    @classmethod
    def of_words(cls, words: Iterable[str], pieces: Sequence[str]) -> "Lexicon":
        """Words spelled as they are written, in every way that the tokens' texts can spell them.

        Words with characters that no token has are omitted and counted.
        """
        characters = sorted({character for piece in pieces for character in piece.lstrip(" ")})
        index = {character: symbol for symbol, character in enumerate(characters)}
        separated = any(piece.startswith(" ") for piece in pieces)
        # Sorted words have sorted spellings, since symbols are numbered in the characters' order.
        words = sorted({word for word in words if word and not word.isspace()})
        codes = _codes(words)
        table = np.full(max(map(ord, [*characters, "\0"])) + 2, -1, np.int32)
        table[[ord(character) for character in characters]] = np.arange(len(characters))
        symbols = table[np.minimum(codes, len(table) - 1)]
        lengths = np.array([len(word) for word in words], np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        writable = np.ones(len(words), bool)
        if len(words):
            writable = np.minimum.reduceat(symbols, offsets[:-1]) >= 0
        left_out = Counter(
            character
            for word, fine in zip(words, writable, strict=True)
            if not fine
            for character in word
            if character not in index
        )
        kept = [word for word, fine in zip(words, writable, strict=True) if fine]
        return cls(
            kept,
            symbols[np.repeat(writable, lengths)],
            np.concatenate([[0], np.cumsum(lengths[writable])]).astype(np.int64),
            np.arange(len(kept), dtype=np.int32),
            [tuple(index[character] for character in piece.lstrip(" ")) for piece in pieces],
            np.array([piece.startswith(" ") or not separated for piece in pieces], np.uint8),
            not separated,
            False,
            left_out,
            len(words) - len(kept),
        )

    @classmethod
    def of_pronunciations(cls, entries: Sequence[Entry], pieces: Sequence[str]) -> "Lexicon":
        """Words and their tokens, with CMUdict's stress marks or without; phones become those in context that the model
        has. Raises `DecoderError` naming tokens that the model lacks."""
        index = {piece: token for token, piece in enumerate(pieces) if token != BLANK and piece != " "}
        separated = " " in pieces
        used = set(itertools.chain.from_iterable(names for _, names in entries))
        bare = {name: _unstressed(name, index) for name in used}
        if lacking := {name for name in used if bare[name] not in index}:
            unknown = Counter(name for _, names in entries for name in names if name in lacking)
            names = ", ".join(f"'{name}' ({count})" for name, count in unknown.most_common(10))
            raise DecoderError(f"tokens that the model lacks: {names}; it has {', '.join(sorted(index)[:60])}")

        def spell(names: Sequence[str]) -> str:
            # A character per token: strings are sorted and compared faster than tuples.
            return "".join([chr(index[unit]) for unit in units_of([bare[name] for name in names], index)])

        return cls._of_spellings(
            {word for word, _ in entries},
            {(spell(names), word) for word, names in entries if names},
            [() if piece == " " else (token,) for token, piece in enumerate(pieces)],
            np.array([piece == " " or not separated for piece in pieces], np.uint8),
            not separated,
        )

    @classmethod
    def _of_spellings(
        cls,
        words: Iterable[str],
        spelled: Iterable[tuple[str, str]],
        token_symbols: list[tuple[int, ...]],
        starts: np.ndarray,
        joined: bool,
    ) -> "Lexicon":
        """A lexicon of pronunciations: each of `spelled` has a character per token, and its word."""
        words = sorted(words)
        position = {word: place for place, word in enumerate(words)}
        spellings = sorted((spelling, position[word]) for spelling, word in spelled)
        return cls(
            words,
            _codes(spelling for spelling, _ in spellings).astype(np.int32),
            np.concatenate([[0], np.cumsum([len(spelling) for spelling, _ in spellings])]).astype(np.int64),
            np.array([word for _, word in spellings], np.int32),
            token_symbols,
            starts,
            joined,
            True,
            Counter(),
        )

    def with_words(self, entries: Sequence[Entry], pieces: Sequence[str]) -> "Lexicon":
        """This lexicon with more words, whose tokens only a lexicon of pronunciations needs.

        Raises `DecoderError` for words that the tokens cannot write.
        """
        new = self.new_words | frozenset(word for word, _ in entries) - frozenset(self.words)
        if self.pronounced:
            added = Lexicon.of_pronunciations(entries, pieces)
            both = {*self._spellings(), *added._spellings()}
            whole = self._of_spellings({*self.words, *added.words}, both, self.token_symbols, self.starts, self.joined)
        else:
            added = Lexicon.of_words(new, pieces)
            if added.left_out_words:
                raise DecoderError(
                    f"{added.left_out_words} of the words to add have characters that the model cannot write: "
                    f"{name_characters(added.left_out)}; remove or respell them"
                )
            whole = Lexicon.of_words({*self.words, *new}, pieces)
        return replace(whole, left_out=self.left_out, left_out_words=self.left_out_words, new_words=new)

    @cached_property
    def separator(self) -> str:
        """What separates words in a text: nothing in a script without spaces."""
        unspaced = has_characters(self.words) if self.pronounced else self.joined or not self.starts.any()
        return "" if unspaced else " "

    @property
    def is_spelled(self) -> bool:
        """Whether words are spelled by tokens of their own, so that one which is missing can be added."""
        return self.pronounced or not self.joined

    def _spellings(self) -> list[tuple[str, str]]:
        """Each pronunciation, a character per token, and its word."""
        text, bounds = self.symbols.astype("<u4").tobytes().decode("utf-32-le"), self.offsets.tolist()
        parts = (text[first:last] for first, last in itertools.pairwise(bounds))
        return list(zip(parts, (self.words[word] for word in self.spelled.tolist()), strict=True))

    def pronunciations(self, pieces: Sequence[str]) -> dict[str, list[tuple[str, ...]]]:
        """The pronunciations of each word, in phones without context."""
        phones = [phone_of(piece) for piece in pieces]
        return group_pronunciations((word, [phones[ord(mark)] for mark in marks]) for marks, word in self._spellings())

    def is_open(self, open_vocabulary: bool) -> bool:
        """Whether words outside this lexicon can be written, letter by letter, if `open_vocabulary` allows it."""
        return not self.words or (open_vocabulary and not self.joined and not self.pronounced)

    @property
    def new_word_logp(self) -> float:
        """ln of a new word's share of P(<unk>)."""
        return float(np.log(min(NEW_WORD_SHARE, 1 / max(1, len(self.new_words)))))

    @classmethod
    def none(cls, pieces: Sequence[str]) -> "Lexicon":
        """No words: an open vocabulary without a language model."""
        starts = np.array([piece.startswith(" ") for piece in pieces], np.uint8)
        nothing = np.zeros(0, np.int32)
        token_symbols: list[tuple[int, ...]] = [() if piece == " " else (0,) for piece in pieces]
        return cls([], nothing, np.zeros(1, np.int64), nothing, token_symbols, starts, False, False, Counter())

    @classmethod
    def of_model(cls, lm: NgramModel, pieces: Sequence[str], name: str) -> "Lexicon":
        """The language model's words; in a script without spaces also each character that the tokens have, so that
        those which the language model lacks can be written, as <unk>.

        Raises `DecoderError` when the model cannot write words with half of the language model's probability, as when
        one is in upper case and the other in lower case.
        """
        words = lm.spoken_words
        lexicon = cls.of_words(words, pieces)
        if not words:
            raise DecoderError(f"{name}: this language model has no words but markup")
        chance = np.exp(lm.arrays.logp[1 : 1 + len(lm.words)])
        inside = (
            chance[[lm.index[word] for word in lexicon.words]].sum() / chance[[lm.index[word] for word in words]].sum()
        )
        if inside < 0.5:
            raise DecoderError(
                f"{name}: {lexicon.left_out_words} of its {len(words)} words, {1 - inside:.0%} of the probability, "
                f"have characters that the model cannot write: {name_characters(lexicon.left_out)}; is it upper case, "
                "or another script?"
            )
        if lexicon.joined:
            characters = {piece for piece in pieces if len(piece) == 1}
            return cls.of_words({*lexicon.words, *characters}, pieces)
        return lexicon

    @classmethod
    def read(cls, path: Path, pieces: Sequence[str], phones: Sequence[str] = ()) -> "Lexicon":
        """A lexicon file of words, or of words and their tokens (see `asr.text.lexicon_file.read_rows`), which are the
        model's phones if it has any."""
        rows = read_rows(path)
        if rows[0][1]:
            return _named(path, lambda: cls.of_pronunciations(rows, phones or pieces))
        lexicon = cls.of_words([word for word, _ in rows], pieces)
        if lexicon.left_out_words:
            raise DecoderError(
                f"{path}: {lexicon.left_out_words} words have characters that the model cannot write: "
                f"{name_characters(lexicon.left_out)}; remove or respell them"
            )
        return lexicon

    def compile(self, lm: NgramModel | None) -> tuple[Graph, np.ndarray]:
        """The tree over tokens, and the look-ahead of its nodes: the unigram ln P of the likeliest word below each
        (Ortmanns et al. 1996), float64 `(nodes,)`."""
        if self.tree:
            return self.tree
        tokens = len(self.token_symbols)
        parent, symbol, node_of = grow(self.symbols, self.offsets)
        child_begin, children = children_of(parent)
        inner = [
            () if token == BLANK or (self.starts[token] and not self.joined) else self.token_symbols[token]
            for token in range(tokens)
        ]
        order = sorted((spelling, token) for token, spelling in enumerate(inner) if spelling)
        flat = np.array([part for spelling, _ in order for part in spelling], np.int32)
        bounds = np.concatenate([[0], np.cumsum([len(spelling) for spelling, _ in order])]).astype(np.int64)
        piece_parent, piece_symbol, piece_node = grow(flat, bounds)
        complete = group(piece_node, np.array([token for _, token in order], np.int32), len(piece_parent))
        pieces = (*children_of(piece_parent), piece_symbol)
        edge_begin, edge_token, edge_target = edges((child_begin, children, symbol), pieces, *complete)
        word_begin, node_word = group(node_of, self.spelled, len(parent))
        lm_word = np.zeros(len(self.words), np.int32)
        ahead = np.zeros(len(parent))
        if lm is not None:
            ids = [lm.index.get(word, NEW_WORD if word in self.new_words else lm.unknown) for word in self.words]
            lm_word = np.array(ids, np.int32)
            unigrams = lm.arrays.logp[1 + np.where(lm_word == NEW_WORD, lm.unknown, lm_word)].astype(np.float64)
            unigrams[lm_word == NEW_WORD] += self.new_word_logp
            ahead = look_ahead(parent, node_of, unigrams[self.spelled])
        start_target = np.full(tokens, UNKNOWN, np.int32)
        for token in np.flatnonzero(self.starts):
            if token != BLANK:
                start_target[token] = _walk(self.token_symbols[token], child_begin, children, symbol)
        arrays = edge_begin, edge_token, edge_target, word_begin, node_word, self.starts, start_target, lm_word, ahead
        return Graph(*map(frozen, arrays)), ahead


def _codes(texts: Iterable[str]) -> np.ndarray:
    """The characters of all texts one after another, uint32."""
    return np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)


def _unstressed(name: str, tokens: Container[str]) -> str:
    """CMUdict marks stress by a digit after the vowel; a model without stress has the bare vowel."""
    return name if name in tokens or name.rstrip("012") not in tokens else name.rstrip("012")


def _named(path: Path, make):
    try:
        return make()
    except DecoderError as error:
        raise DecoderError(f"{path}: {error}") from error


def _walk(spelling: Sequence[int], child_begin: np.ndarray, children: np.ndarray, symbol: np.ndarray) -> int:
    node = ROOT
    for part in spelling:
        below = children[child_begin[node] : child_begin[node + 1]]
        found = below[symbol[below] == part]
        if not len(found):
            return UNKNOWN
        node = found[0]
    return int(node)
