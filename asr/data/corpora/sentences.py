"""A text file -> sentences for the synthesiser, chosen at random."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from asr.errors import ManifestError
from asr.utils.compressed_text import read_blocks

SUFFIXES = (".txt", ".txt.gz", ".txt.xz")
FEWEST_WORDS, MOST_WORDS = 2, 20  # of a line: the longest take some ten seconds


def choose_sentences(path: Path, counts: dict[str, int], seed: int) -> dict[str, list[str]]:
    """Distinct sentences in random order, `counts[subset]` for each subset.

    Candidates are lines of `FEWEST_WORDS` to `MOST_WORDS` words with a letter. Each sentence is ranked by its hash with
    the seed, and the lowest ranks are taken (a bottom-k sample, Cohen and Kaplan 2007): one pass over the file, with at
    most twice the needed sentences in memory. The first subset of `counts`, train, gets the highest of these ranks, so
    that enlarging it keeps its sentences and those of the others.

    Raises `ManifestError` naming a file that cannot be read or has too few sentences.
    """
    needed = sum(counts.values())
    start = hashlib.blake2b(f"{seed}\n".encode(), digest_size=8)
    lowest, limit = {}, b"\xff" * 8  # rank -> sentence
    for sentence in _sentences(path):
        hash = start.copy()
        hash.update(sentence.encode())
        rank = hash.digest()
        if rank <= limit:
            lowest[rank] = sentence
            if len(lowest) > 2 * needed:
                lowest = dict(sorted(lowest.items())[:needed])
                limit = max(lowest)
    if len(lowest) < needed:
        raise ManifestError(
            f"{path}: {len(lowest)} different lines of {FEWEST_WORDS} to {MOST_WORDS} words, but {needed} utterances "
            "are configured; give a longer text or lower synthetic.train, synthetic.dev and synthetic.test"
        )
    ranked = iter([sentence for _, sentence in sorted(lowest.items())])
    return {subset: [next(ranked) for _ in range(counts[subset])] for subset in reversed(counts)}


def _sentences(path: Path) -> Iterator[str]:
    """Candidate lines, with single spaces."""
    lines_before = 0
    for block in read_blocks(path, ManifestError):
        try:
            text = block.decode()
        except UnicodeDecodeError as error:
            line = lines_before + block.count(b"\n", 0, error.start) + 1
            raise ManifestError(f"{path}:{line}: not UTF-8; convert it with iconv") from error
        for line in text.split("\n"):
            words = line.split()
            if FEWEST_WORDS <= len(words) <= MOST_WORDS and any(map(str.isalpha, line)):
                yield " ".join(words)
        lines_before += block.count(b"\n")
