"""Lexicons: which words there are and how tokens spell them, compiled to the tree that the search walks."""

import itertools
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.decoding.arrays import ROOT, UNKNOWN, Graph, frozen
from asr.errors import DecoderError
from asr.lm.ngram import NgramModel
from asr.text.lexicon_file import read_rows
from asr.text.tokenizer import BLANK, name_characters
from asr.utils.numba_cache import compiled


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

    @classmethod
    def of_words(cls, words: Iterable[str], pieces: Sequence[str]) -> "Lexicon":
        """Words spelled as they are written, in any way that the tokens' texts can spell them.

        Words with characters that no token has are left out and counted.
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
    def of_pronunciations(cls, entries: Sequence[tuple[str, Sequence[str]]], pieces: Sequence[str]) -> "Lexicon":
        """(word, tokens) pairs, tokens with CMUdict's marks of stress or without; raises `DecoderError` naming tokens
        that the model lacks."""
        index = {piece: token for token, piece in enumerate(pieces) if token != BLANK and piece != " "}
        separated = " " in pieces
        used = set(itertools.chain.from_iterable(names for _, names in entries))
        # As a character each, for strings are sorted and told apart faster than tuples.
        marks = {name: chr(index[bare]) for name in used if (bare := _unstressed(name, index)) in index}
        if lacking := used - marks.keys():
            unknown = Counter(name for _, names in entries for name in names if name in lacking)
            names = ", ".join(f"'{name}' ({count})" for name, count in unknown.most_common(10))
            raise DecoderError(f"tokens that the model lacks: {names}; it has {', '.join(sorted(index)[:60])}")
        words = sorted({word for word, _ in entries})
        position = {word: place for place, word in enumerate(words)}
        spelled = {("".join([marks[name] for name in names]), position[word]) for word, names in entries if names}
        spellings = sorted(spelled)
        return cls(
            words,
            _codes(spelling for spelling, _ in spellings).astype(np.int32),
            np.concatenate([[0], np.cumsum([len(spelling) for spelling, _ in spellings])]).astype(np.int64),
            np.array([word for _, word in spellings], np.int32),
            [() if piece == " " else (token,) for token, piece in enumerate(pieces)],
            np.array([piece == " " or not separated for piece in pieces], np.uint8),
            not separated,
            True,
            Counter(),
        )

    @classmethod
    def none(cls, pieces: Sequence[str]) -> "Lexicon":
        """No words at all: an open vocabulary without a language model."""
        starts = np.array([piece.startswith(" ") for piece in pieces], np.uint8)
        nothing = np.zeros(0, np.int32)
        token_symbols = [() if piece == " " else (0,) for piece in pieces]
        return cls([], nothing, np.zeros(1, np.int64), nothing, token_symbols, starts, False, False, Counter())

    @classmethod
    def of_model(cls, lm: NgramModel, pieces: Sequence[str], name: str) -> "Lexicon":
        """The language model's own words; in a script without spaces also each character that the tokens have, so that
        those which the language model lacks can be written, as <unk>.

        Raises `DecoderError` when half of what it expects to be said cannot be written by the model, as with
        upper case against lower case.
        """
        words = lm.spoken_words
        lexicon = cls.of_words(words, pieces)
        if not words:
            raise DecoderError(f"{name}: no words but markup in this language model")
        chance = np.exp(lm.arrays.logp[1 : 1 + len(lm.words)])
        inside = (
            chance[[lm.index[word] for word in lexicon.words]].sum() / chance[[lm.index[word] for word in words]].sum()
        )
        if inside < 0.5:
            raise DecoderError(
                f"{name}: {lexicon.left_out_words} of its {len(words)} words, {1 - inside:.0%} of what it expects to "
                f"be said, have characters that the model cannot write: {name_characters(lexicon.left_out)}; is it "
                "upper case, or another script?"
            )
        if lexicon.joined:
            characters = {piece for piece in pieces if len(piece) == 1}
            return cls.of_words({*lexicon.words, *characters}, pieces)
        return lexicon

    @classmethod
    def read(cls, path: Path, pieces: Sequence[str], phones: Sequence[str] = ()) -> "Lexicon":
        """A word a line, or a word and its tokens a line: see `asr.text.lexicon_file.read_rows`. Such tokens are the
        model's phones, if it has any."""
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
        """The tree over tokens, and the look-ahead of its nodes: ln P of the likeliest word below each by itself
        (Ortmanns et al. 1996), float64 `(nodes,)`."""
        tokens = len(self.token_symbols)
        parent, symbol, node_of = _grow(self.symbols, self.offsets)
        child_begin, children = _children(parent)
        inner = [
            () if token == BLANK or (self.starts[token] and not self.joined) else self.token_symbols[token]
            for token in range(tokens)
        ]
        order = sorted((spelling, token) for token, spelling in enumerate(inner) if spelling)
        flat = np.array([part for spelling, _ in order for part in spelling], np.int32)
        bounds = np.concatenate([[0], np.cumsum([len(spelling) for spelling, _ in order])]).astype(np.int64)
        piece_parent, piece_symbol, piece_node = _grow(flat, bounds)
        piece_begin, piece_children = _children(piece_parent)
        token_begin, node_token = _group(
            piece_node, np.array([token for _, token in order], np.int32), len(piece_parent)
        )
        edge_begin, edge_token, edge_target = _edges(
            child_begin, children, symbol, piece_begin, piece_children, piece_symbol, token_begin, node_token
        )
        word_begin, node_word = _group(node_of, self.spelled, len(parent))
        lm_word = np.zeros(len(self.words), np.int32)
        ahead = np.zeros(len(parent))
        if lm is not None:
            lm_word = np.array([lm.index.get(word, lm.unknown) for word in self.words], np.int32)
            unigrams = lm.arrays.logp[1 + lm_word].astype(np.float64)
            ahead = _look_ahead(parent, node_of, unigrams[self.spelled])
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
    """CMUdict marks stress by a digit behind the vowel; a model without it has the bare vowel."""
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


@compiled
def _grow(symbols, offsets):
    """A tree from sorted spellings: each node's parent and symbol, and the node of each spelling."""
    count = len(offsets) - 1
    parent = np.empty(len(symbols) + 1, np.int32)
    symbol = np.empty(len(symbols) + 1, np.int32)
    node_of = np.empty(count, np.int32)
    parent[0], symbol[0] = -1, -1
    nodes = 1
    path = np.zeros(1, np.int32)
    depth = 0  # of the spelling before
    for spelling in range(count):
        first, last = offsets[spelling], offsets[spelling + 1]
        length = last - first
        if length >= len(path):
            longer = np.zeros(2 * length + 2, np.int32)
            longer[: len(path)] = path
            path = longer
        shared = 0
        while shared < depth and shared < length and symbol[path[shared + 1]] == symbols[first + shared]:
            shared += 1
        for place in range(shared, length):
            parent[nodes], symbol[nodes] = path[place], symbols[first + place]
            path[place + 1] = nodes
            nodes += 1
        depth = length
        node_of[spelling] = path[length]
    return parent[:nodes], symbol[:nodes], node_of


@compiled
def _children(parent):
    """Each node's children, in the order of their symbols."""
    nodes = len(parent)
    begin = np.zeros(nodes + 1, np.int32)
    for node in range(1, nodes):
        begin[parent[node] + 1] += 1
    for node in range(nodes):
        begin[node + 1] += begin[node]
    place = begin[:-1].copy()
    children = np.empty(max(0, nodes - 1), np.int32)
    for node in range(1, nodes):
        children[place[parent[node]]] = node
        place[parent[node]] += 1
    return begin, children


def _group(node_of: np.ndarray, values: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """The values at each node: where they begin, `(nodes + 1,)`, and the values."""
    order = np.argsort(node_of, kind="stable")
    counts = np.bincount(node_of, minlength=nodes)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), values[order].astype(np.int32)


@compiled
def _edges(child_begin, children, symbol, piece_begin, piece_children, piece_symbol, token_begin, node_token):
    """Every way in which a token leads from a node of the lexicon to another: both trees are walked side by side."""
    nodes = len(child_begin) - 1
    edge_begin = np.zeros(nodes + 1, np.int32)
    room = 2 * nodes + 16
    edge_token, edge_target = np.empty(room, np.int32), np.empty(room, np.int32)
    stack, pieces = np.empty(4096, np.int32), np.empty(4096, np.int32)
    count = 0
    for node in range(nodes):
        depth = 1
        stack[0], pieces[0] = node, 0
        while depth:
            depth -= 1
            here, piece = stack[depth], pieces[depth]
            for place in range(token_begin[piece], token_begin[piece + 1]):
                if count == room:
                    room *= 2
                    longer = np.empty(room, np.int32)
                    longer[:count] = edge_token
                    edge_token = longer
                    longer = np.empty(room, np.int32)
                    longer[:count] = edge_target
                    edge_target = longer
                edge_token[count], edge_target[count] = node_token[place], here
                count += 1
            a, b = child_begin[here], piece_begin[piece]
            while a < child_begin[here + 1] and b < piece_begin[piece + 1]:
                left, right = symbol[children[a]], piece_symbol[piece_children[b]]
                if left == right:
                    if depth == len(stack):
                        stack, pieces = np.append(stack, stack), np.append(pieces, pieces)
                    stack[depth], pieces[depth] = children[a], piece_children[b]
                    depth += 1
                a, b = a + (left <= right), b + (right <= left)
        first = edge_begin[node]
        order = np.argsort(edge_token[first:count])
        edge_token[first:count] = edge_token[first:count][order]
        edge_target[first:count] = edge_target[first:count][order]
        edge_begin[node + 1] = count
    return edge_begin, edge_token[:count].copy(), edge_target[:count].copy()


@compiled
def _look_ahead(parent, node_of, value):
    """For each node the largest value of a spelling at or below it; 0 at the root."""
    best = np.full(len(parent), -np.inf)
    for spelling in range(len(node_of)):
        best[node_of[spelling]] = max(best[node_of[spelling]], value[spelling])
    for node in range(len(parent) - 1, 0, -1):
        best[parent[node]] = max(best[parent[node]], best[node])
    best[0] = 0.0
    return best
