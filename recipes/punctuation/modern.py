"""Texts with a printed sentence per line, for training and for testing: `modern.py OUTPUT TEXT ...`.

Writes OUTPUT/modern.txt and, of the last 2% of each text, OUTPUT/modern-test.txt. Sentences without an end or a capital
letter, and those with digits or other than ASCII characters, are left out. A text whose sentences are sorted by length,
as those of Tatoeba are, is shuffled.
"""

import random
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from asr.errors import AsrError, TextError
from asr.utils.compressed_text import read_blocks
from asr.utils.files import write_atomically

SENTENCE = re.compile(r"""["'(]*[A-Z][^0-9]*[.?!]["')]*""", re.ASCII)
TEST_SHARE = 0.02
SORTED = 0.9  # share of lines that are at least as long as the one before, from which on a text is sorted


def sentences(path: Path) -> Iterator[str]:
    """The whole sentences among the lines of a text, in order."""
    for block in read_blocks(path, TextError):
        for line in block.decode().splitlines():
            if line.isascii() and SENTENCE.fullmatch(line):
                yield line


def divide(output: Path, texts: list[Path]) -> None:
    """Write the two texts."""
    train, test = [], []
    for path in texts:
        lines = list(sentences(path))
        rising = sum(len(before) <= len(after) for before, after in pairwise(lines))
        if rising > SORTED * len(lines):
            random.Random(0).shuffle(lines)
        kept = round(len(lines) * (1 - TEST_SHARE))
        train += lines[:kept]
        test += lines[kept:]
    for name, lines in (("modern.txt", train), ("modern-test.txt", test)):
        write_atomically(output / name, "".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    try:
        divide(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
    except AsrError as error:
        sys.exit(f"error: {error}")
