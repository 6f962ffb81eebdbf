"""Divide a file of books, a paragraph per line, into train.txt, dev.txt and test.txt:
`choose_books.py BOOKS OUTPUT`.

The books of dev and test are kept apart by title.
"""

import re
import sys
from pathlib import Path

from asr.errors import TextError
from asr.utils.compressed_text import read_blocks
from asr.utils.files import write_atomically

BOOKS = {  # first and last line, counted from 1
    "dev": {
        "Ivan Turgenev: Fathers and Children, translated by Constance Garnett": (52261, 53391),
        "Edith Wharton: A Son at the Front": (91598, 92960),
    },
    "test": {
        "P. G. Wodehouse: Jill the Reckless": (130825, 132515),
        "Henry James: Confidence": (135606, 136464),
        "Bertrand Russell: The Practice and Theory of Bolshevism": (148442, 148645),
        "Jules Verne: Michael Strogoff": (152610, 154248),
    },
}
ENDS = re.compile("[.?!]")


def is_spoken_style(paragraph: str) -> bool:
    """Whether a paragraph may be used for training: nobody speaks with more semicolons than ends of sentences."""
    return paragraph.count(";") <= len(ENDS.findall(paragraph))


def divide(books: Path, output: Path) -> None:
    """Write the three texts."""
    blocks = read_blocks(books, TextError)
    lines = [line for block in blocks for line in block.decode().splitlines()]
    kept_apart = set()
    for name, ranges in BOOKS.items():
        numbers = [number for first, last in ranges.values() for number in range(first - 1, last)]
        write_atomically(output / f"{name}.txt", "".join(f"{lines[number]}\n" for number in numbers))
        kept_apart |= set(numbers)
    rest = [line for number, line in enumerate(lines) if number not in kept_apart]
    train = list(filter(is_spoken_style, rest))
    write_atomically(output / "train.txt", "".join(f"{line}\n" for line in train))
    print(f"train: {len(train):,} paragraphs, {len(rest) - len(train):,} left out for their semicolons")


if __name__ == "__main__":
    divide(Path(sys.argv[1]), Path(sys.argv[2]))
