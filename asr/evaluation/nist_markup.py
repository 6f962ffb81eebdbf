"""NIST's markup of transcripts: words that may be said in several ways, or not at all.

`i've { um / uh / @ } as far as (well) i know`: one of the alternatives is right, `@` is nothing, and a word in
parentheses may be missing. As in sclite, the way that is nearest to the hypothesis counts. Unlike there (`-D`), a word
that may be missing and is counts nowhere, instead of among the right ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from asr.errors import ScoreError

# sclite's costs of an alignment.
SUBSTITUTION, DELETION, INSERTION = 4, 3, 3


@dataclass(frozen=True)
class Choice:
    """Ways to say the same, each a sequence of words and choices."""

    ways: "tuple[Sentence, ...]"


Sentence = tuple[str | Choice, ...]
Row = list[tuple[int, tuple]]  # for each part of the hypothesis: least cost, and the words chosen, last one first


def resolve(reference: str, hypothesis: str, normalize: Callable[[str], str]) -> str:
    """The words of a marked reference, normalised, in the way that is nearest to a normalised hypothesis.

    >>> resolve("{ going to / gonna } be (right) there", "gonna be there", str.lower)
    'gonna be there'

    Raises `ScoreError` where braces do not match.
    """
    heard = hypothesis.split()
    start: Row = [(INSERTION * count, ()) for count in range(len(heard) + 1)]
    chosen = _align(parse(reference), heard, start, normalize)[-1][1]
    words = []
    while chosen:
        chosen, word = chosen
        words.append(word)
    return " ".join(reversed(words))


def parse(text: str) -> Sentence:
    """A marked transcript as words and choices; `/` and `@` mean nothing special outside of braces."""
    tokens = iter(text.replace("{", " { ").replace("}", " } ").split())
    return _ways(tokens, "", text)[0]


def _ways(tokens: Iterator[str], end: str, text: str) -> list[Sentence]:
    """What stands between slashes up to the token `end`."""
    ways: list[list] = [[]]
    for token in tokens:
        if token == end:
            return [tuple(way) for way in ways]
        if token == "{":
            ways[-1].append(Choice(tuple(_ways(tokens, "}", text))))
        elif token == "}":
            raise ScoreError(f"'{text}': a }} without its {{")
        elif token == "/" and end:
            ways.append([])
        elif token.startswith("(") and token.endswith(")"):
            ways[-1].append(Choice(((token[1:-1],), ())))
        elif token != "@" or not end:
            ways[-1].append(token)
    if end:
        raise ScoreError(f"'{text}': a {{ without its }}")
    return [tuple(way) for way in ways]


def _align(sentence: Sentence, heard: Sequence[str], row: Row, normalize: Callable[[str], str]) -> Row:
    """One more part of the reference against all parts of the hypothesis (Levenshtein 1966)."""
    for item in sentence:
        if isinstance(item, Choice):
            rows = [_align(way, heard, row, normalize) for way in item.ways]
            row = [min(entries, key=lambda entry: entry[0]) for entries in zip(*rows, strict=True)]
            continue
        for word in normalize(item).split():
            above, row = row, [(row[0][0] + DELETION, (row[0][1], word))]
            for place, other in enumerate(heard):
                match = above[place][0] + (0 if other == word else SUBSTITUTION)
                missed, extra = above[place + 1][0] + DELETION, row[place][0] + INSERTION
                best = min(match, missed, extra)
                if best == extra:
                    row.append((best, row[place][1]))
                else:
                    row.append((best, (above[place if best == match else place + 1][1], word)))
    return row
