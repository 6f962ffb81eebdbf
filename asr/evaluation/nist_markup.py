"""NIST's markup of transcripts: alternatives and optional words.

`i've { um / uh / @ } as far as (well) i know`: one of the alternatives is correct, `@` is nothing, and a word in
parentheses is optional. As in sclite, the reading nearest to the hypothesis counts. An optional word that is missing
is not counted at all; sclite (with `-D`) counts it as correct.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from asr.errors import ScoreError
from asr.evaluation.alignment import COSTS

SUBSTITUTION, DELETION, INSERTION = COSTS["sclite"]
ALTERNATIVES = re.compile(r"\{[^{}]*/[^{}]*\}")


@dataclass(frozen=True)
class Choice:
    """Alternatives, each a sequence of words and choices."""

    alternatives: "tuple[Sentence, ...]"


Sentence = tuple[str | Choice, ...]
Row = list[tuple[int, tuple]]  # per beginning of the hypothesis: the least cost, and the words chosen, last one first


def resolve(sentence: Sentence, hypothesis: str, normalize: Callable[[str], str]) -> str:
    """The words of the reading of `sentence`, normalised, that is nearest to a normalised hypothesis.

    >>> resolve(parse("{ going to / gonna } be (right) there"), "gonna be there", str.lower)
    'gonna be there'
    """
    recognised = hypothesis.split()
    start: Row = [(INSERTION * count, ()) for count in range(len(recognised) + 1)]
    chosen = _align(sentence, recognised, start, normalize)[-1][1]
    words = []
    while chosen:
        chosen, word = chosen
        words.append(word)
    return " ".join(reversed(words))


def parse(text: str, optional: bool = True) -> Sentence:
    """A transcript with markup as words and choices; `/` and `@` are plain text outside braces.

    Without `optional`, parentheses are plain text too. Raises `ScoreError` if braces do not match.
    """
    tokens = iter(text.replace("{", " { ").replace("}", " } ").split())
    return _alternatives(tokens, "", text, optional)[0]


def _alternatives(tokens: Iterator[str], end: str, text: str, optional: bool) -> list[Sentence]:
    """The alternatives up to the token `end`."""
    found: list[list] = [[]]
    for token in tokens:
        if token == end:
            return [tuple(words) for words in found]
        if token == "{":
            found[-1].append(Choice(tuple(_alternatives(tokens, "}", text, optional))))
        elif token == "}":
            raise ScoreError(f"'{text}': a }} without its {{")
        elif not end:
            found[-1].append(_word(token, optional))
        else:
            for part in filter(None, re.split("(/)", token)):
                if part == "/":
                    found.append([])
                elif part != "@":
                    found[-1].append(_word(part, optional))
    if end:
        raise ScoreError(f"'{text}': a {{ without its }}")
    return [tuple(words) for words in found]


def _word(token: str, optional: bool) -> str | Choice:
    if optional and token.startswith("(") and token.endswith(")"):
        return Choice(((token[1:-1],), ()))
    return token


def _align(sentence: Sentence, recognised: Sequence[str], row: Row, normalize: Callable[[str], str]) -> Row:
    """Align one more part of the reference with every beginning of the hypothesis (Levenshtein 1966)."""
    for item in sentence:
        if isinstance(item, Choice):
            rows = [_align(words, recognised, row, normalize) for words in item.alternatives]
            row = [min(entries, key=lambda entry: entry[0]) for entries in zip(*rows, strict=True)]
            continue
        for word in normalize(item).split():
            above, row = row, [(row[0][0] + DELETION, (row[0][1], word))]
            for place, other in enumerate(recognised):
                match = above[place][0] + (0 if other == word else SUBSTITUTION)
                missed, extra = above[place + 1][0] + DELETION, row[place][0] + INSERTION
                best = min(match, missed, extra)
                if best == extra:
                    row.append((best, row[place][1]))
                else:
                    row.append((best, (above[place if best == match else place + 1][1], word)))
    return row
