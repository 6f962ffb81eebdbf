"""Printed sentences, one per line -> text for language models: lower case, letters and apostrophes, numbers in words.

    pip install 'small-asr[numbers]'
    python modern_text.py tatoeba.txt -o everyday.txt --without librispeech-dev.jsonl commonvoice-dev.jsonl

Sentences with symbols, times, prices or letters of other languages are left out, and so are repetitions and the
transcripts of the manifests of `--without`, on which the language model is to be measured.
"""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from asr.data.manifest import read_manifest
from asr.errors import AsrError, TextError
from asr.text import basic
from asr.text.numbers import number_speller
from asr.utils.compressed_text import read_blocks
from asr.utils.files import replacing
from asr.utils.messages import tell

#: Abbreviations and symbols, and how they are read.
READ = (
    (re.compile(r"\bMr\b\.?"), "mister"),
    (re.compile(r"\bMrs\b\.?"), "missus"),
    (re.compile(r"\bDr\b\.?"), "doctor"),
    (re.compile(r"\bSt\. (?=[A-Z])"), "saint "),
    (re.compile(r"(?<=\d) ?%"), " percent"),
    (re.compile(r" & "), " and "),
    (re.compile(r"\b([A-Z])\.(?=[A-Z]\.)"), r"\1 "),
    (re.compile("[-\u2010\u2011]"), " "),
)
#: Sentences with these are left out: nobody knows how they were read.
UNSPEAKABLE = re.compile(r"[$£€#@/=+*<>^_~\\|]|www|http|\d[:.']\d|\d(?!st|nd|rd|th)[A-Za-z]|[A-Za-z]\d|\d{5}|'\d")
WORDS = re.compile(r"[a-z' ]+")


@dataclass(frozen=True)
class Options:
    """Prepare sentences for a language model."""

    #: Text files, one sentence per line.
    texts: Annotated[list[Path], tyro.conf.Positional]
    #: Text file to write.
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    #: Manifests whose transcripts are left out.
    without: tuple[Path, ...] = ()


def main(options: Options) -> None:
    """Write each sentence once."""
    left_out = {basic(text): 0 for path in options.without for text in read_manifest(path).texts}
    spell = number_speller("en")
    seen: set[str] = set()
    with replacing(options.output) as file:
        for sentence in sentences(options.texts):
            text = spoken(sentence, spell)
            if text in left_out:
                left_out[text] += 1
            elif text and text not in seen:
                seen.add(text)
                file.write(f"{text}\n".encode())
    words = sum(text.count(" ") + 1 for text in seen)
    tell(f"{options.output}: {len(seen):,} sentences, {words:,} words; {sum(left_out.values())} are transcripts")


def sentences(paths: list[Path]) -> Iterator[str]:
    """The lines of text files."""
    for path in paths:
        for block in read_blocks(path, TextError):
            yield from map(bytes.decode, block.splitlines())


def spoken(sentence: str, spell: Callable[[str], str]) -> str:
    """The words of a sentence as they are spoken; empty if that is not clear."""
    for pattern, words in READ:
        sentence = pattern.sub(words, sentence)
    if UNSPEAKABLE.search(sentence):
        return ""
    text = basic(spell(sentence))
    return text if WORDS.fullmatch(text) else ""


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except AsrError as error:
        sys.exit(f"asr: {error}")
