"""Hotwords: phrases that the search prefers, as an automaton over tokens (Aho & Corasick 1975).

A phrase matches whole words only. Each matched symbol adds its share of the boost, which a hypothesis loses again when
the match fails and keeps when the phrase is complete.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.decoding.arrays import Hotwords, frozen
from asr.decoding.lexicon import Lexicon
from asr.errors import DecoderError
from asr.utils.files import read_lines

EDGE = 0  # the symbol at both ends of a word
MOST_VARIANTS = 64  # pronunciations of one phrase


@dataclass(frozen=True)
class Phrase:
    """Words to prefer, and their boost."""

    text: str
    boost: float  # nats, above 0
    origin: str = ""  # file and line, to begin a message about it


def read_hotwords(path: Path, boost: float) -> list[Phrase]:
    """The phrases of a file, one per line, optionally with a tab and a boost of their own; `#` begins a comment.

    Raises `DecoderError` naming file and line.
    """
    phrases = []
    for number, line in enumerate(read_lines(path, DecoderError, "give a file of hotwords, one phrase per line"), 1):
        text, _, own = line.partition("\t")
        if not line.strip() or line.startswith("#"):
            continue
        try:
            own_boost = float(own) if own.strip() else boost
            phrases.append(Phrase(" ".join(text.split()), own_boost, f"{path}:{number}: "))
        except ValueError:
            raise DecoderError(f"{path}:{number}: '{own.strip()}' is not a boost; write PHRASE<tab>NUMBER") from None
        if not text.strip() or not 0 < phrases[-1].boost < np.inf:
            raise DecoderError(f"{path}:{number}: needs a phrase and a boost above 0 (nats)")
    return phrases


def no_hotwords(tokens: int) -> Hotwords:
    """An automaton without phrases."""
    return Hotwords(
        frozen(np.zeros((1, tokens + 1), np.int32)), frozen(np.zeros((1, tokens + 1))), frozen(np.zeros(1)), 0, 1.0
    )


def compile_hotwords(phrases: Sequence[Phrase], pieces: Sequence[str], lexicon: Lexicon, is_open: bool) -> Hotwords:
    """The automaton; its last column is the end of a word where no token marks it.

    Raises `DecoderError` for a phrase that the tokens cannot spell or, in a closed vocabulary, with a word that the
    lexicon lacks, which could never be recognised.
    """
    spellings, token_symbols, edged = _spell(phrases, pieces, lexicon, is_open)
    goto, failure, progress, completed = _grow(spellings, edged)
    symbols = 1 + max((symbol for parts in token_symbols for symbol in parts), default=0)
    follow = np.zeros((len(goto), symbols), np.int64)
    potential, bank = np.array(progress), np.array(completed)
    for state in _breadth_first(goto):
        if state:
            potential[state] = max(potential[state], potential[failure[state]])
            bank[state] += bank[failure[state]]
            follow[state] = follow[failure[state]]
        for symbol, target in goto[state].items():
            follow[state, symbol] = target
    gain = potential[follow] - potential[:, None] + bank[follow]  # (states, symbols)
    # Two spaces count as one. In a script without spaces phrases match anywhere, and the ends of words have no effect.
    after_edge = [target for arcs in goto for symbol, target in arcs.items() if symbol == EDGE]
    deaf = after_edge if edged else list(range(len(goto)))
    follow[deaf, EDGE], gain[deaf, EDGE] = deaf, 0.0
    states, tokens = len(goto), len(pieces)
    token_next, token_gain = np.zeros((states, tokens + 1), np.int32), np.zeros((states, tokens + 1))
    for token, parts in enumerate([*token_symbols, (EDGE,)]):
        state = np.arange(states)
        for symbol in parts:
            token_gain[:, token] += gain[state, symbol]
            state = follow[state, symbol]
        token_next[:, token] = state
    last = gain[:, EDGE] - potential[follow[:, EDGE]]
    most = float(np.exp(max(0.0, token_gain.max())))
    return Hotwords(frozen(token_next), frozen(token_gain), frozen(last), int(follow[0, EDGE]), most)


def _spell(phrases, pieces, lexicon, is_open):
    """Each phrase's spellings in symbols, and the symbols of each token; symbol 0 is the edge of a word."""
    known = _pronunciations(phrases, lexicon) if lexicon.pronounced else None
    if known is not None:
        token_symbols = [tuple(symbol + 1 for symbol in parts) for parts in lexicon.token_symbols]
        if not lexicon.joined:
            token_symbols = [
                (EDGE, *token_symbols[i]) if lexicon.starts[i] else token_symbols[i] for i in range(len(pieces))
            ]
    else:
        index = {" ": EDGE} | {letter: i for i, letter in enumerate(sorted(set("".join(pieces)) - {" "}), 1)}
        token_symbols = [tuple(index[letter] for letter in piece) for piece in pieces]
    edge = (EDGE,) if known is not None or any(piece.startswith(" ") for piece in pieces) else ()
    words, spellings = set(lexicon.words), {}
    for phrase in phrases:
        parts, named = phrase.text.split(), f"{phrase.origin}hotword '{phrase.text}'"
        if not parts:
            raise DecoderError(f"{named}: has no words")
        if not is_open and edge and (missing := [word for word in parts if word not in words]):
            raise DecoderError(f"{named}: '{missing[0]}' is not in the lexicon; add it there or by --vocabulary")
        variants = [edge]
        for word in parts:
            try:
                ways = known[word] if known is not None else [tuple(index[letter] for letter in word)]
            except KeyError as error:
                raise DecoderError(
                    f"{named}: the model cannot write {error.args[0]!r}; respell it in its alphabet"
                ) from None
            variants = [(*before, *way, *edge) for before in variants for way in ways][:MOST_VARIANTS]
        for variant in variants:
            spellings[variant] = max(phrase.boost, spellings.get(variant, 0.0))
    return spellings, token_symbols, bool(edge)


def _pronunciations(phrases, lexicon):
    wanted, known = {word for phrase in phrases for word in phrase.text.split()}, {}
    places = [place for place, word in enumerate(lexicon.words) if word in wanted]
    for spelling in np.flatnonzero(np.isin(lexicon.spelled, places)):
        word = lexicon.spelled[spelling]
        symbols = lexicon.symbols[lexicon.offsets[spelling] : lexicon.offsets[spelling + 1]]
        known.setdefault(lexicon.words[word], []).append(tuple(int(symbol) + 1 for symbol in symbols))
    return known


def _grow(spellings, edged):
    """A tree of the spellings: transitions, failure links, and the boosts of partial and of complete phrases."""
    goto, progress, completed = [{}], [0.0], [0.0]
    for spelling, boost in spellings.items():
        state, inner = 0, len(spelling) - 2 * edged
        for depth, symbol in enumerate(spelling):
            if symbol not in goto[state]:
                goto[state][symbol] = len(goto)
                goto.append({})
                progress.append(0.0)
                completed.append(0.0)
            state = goto[state][symbol]
            if depth < len(spelling) - 1:
                progress[state] = max(progress[state], boost * (depth + 1 - edged) / inner)
        completed[state] = boost
    failure = [0] * len(goto)
    for state in _breadth_first(goto):
        for symbol, target in goto[state].items():
            back = failure[state]
            while back and symbol not in goto[back]:
                back = failure[back]
            failure[target] = goto[back].get(symbol, 0) if state else 0
    return goto, failure, progress, completed


def _breadth_first(goto):
    queue = deque([0])
    while queue:
        state = queue.popleft()
        yield state
        queue.extend(goto[state].values())
