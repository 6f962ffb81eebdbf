"""A language model -> the same with the words of today's English that it lacks, such as `vlog`, as 1-grams.

    pip install wordfreq
    python modern_words.py ngrams.arpa.xz -o lm.arpa.xz

The words and their probabilities are those of wordfreq (Speer 2022; CC BY-SA 4.0), whose sources are Wikipedia,
subtitles, news, books and the web. The other probabilities stay as they are: the new ones together have
1.2%, less than what one decimal of their logarithms leaves undetermined.
"""

import lzma
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from wordfreq import get_frequency_dict

from asr.errors import AsrError, LanguageModelError
from asr.utils.files import replacing
from asr.utils.messages import tell


@dataclass(frozen=True)
class Options:
    """Add modern words to a language model."""

    #: ARPA file, compressed by xz.
    ngrams: Annotated[Path, tyro.conf.Positional]
    #: ARPA file to write.
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    #: Lowest probability of an added word.
    probability: float = 1e-7


def main(options: Options) -> None:
    """Add the words at the end of the 1-grams."""
    with lzma.open(options.ngrams, "rt", encoding="utf-8") as file:
        text = file.read()
    header, found, rest = text.partition("\\2-grams:")
    if not found:
        raise LanguageModelError(f"{options.ngrams}: no 2-grams; give an ARPA file of order 2 or more")
    known = {line.split("\t")[1] for line in header.partition("\\1-grams:\n")[2].splitlines() if "\t" in line}
    added = {
        word: probability
        for word, probability in get_frequency_dict("en", "large").items()
        if probability >= options.probability and word not in known and re.fullmatch(r"[a-z][a-z']*", word)
    }
    header = re.sub(r"^ngram 1=\d+$", f"ngram 1={len(known) + len(added)}", header, count=1, flags=re.MULTILINE)
    lines = "".join(f"{math.log10(probability):.1f}\t{word}\n" for word, probability in sorted(added.items()))
    with replacing(options.output) as path, lzma.open(path, "wt", encoding="utf-8") as file:
        file.write(f"{header.rstrip()}\n{lines}\n{found}{rest}")
    tell(f"{options.output}: {len(added):,} words added, {sum(added.values()):.1%} of modern text")


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except AsrError as error:
        sys.exit(f"asr: {error}")
