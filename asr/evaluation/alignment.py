"""References and hypotheses aligned word by word, and the errors counted."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap, zip_longest

import jiwer
import numpy as np

from asr.data.manifest import Utterance
from asr.evaluation.config import Alignment
from asr.text.config import TextConfig
from asr.text.normalizer import normalize
from asr.transcript import Transcript

NOTHING = "(nothing)"

# What a substitution, a deletion and an insertion cost in an alignment.
COSTS: dict[Alignment, tuple[int, int, int]] = {"levenshtein": (1, 1, 1), "sclite": (4, 3, 3)}


@dataclass(frozen=True)
class ErrorCounts:
    """Substitutions, deletions and insertions that turn a reference into a hypothesis, in words or in characters."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    reference: int = 0  # words or characters in the reference

    @property
    def errors(self) -> int:
        """The sum of the three."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """WER or CER: errors per word or character of the reference. Above 1 with many insertions; NaN without any."""
        return self.errors / self.reference if self.reference else math.nan

    @classmethod
    def total(cls, counts: Iterable["ErrorCounts"]) -> "ErrorCounts":
        """The sum of several: the rate of a corpus is that of the total, never a mean of rates."""
        counts = list(counts)
        return cls(*(sum(getattr(count, name) for count in counts) for name in cls.__dataclass_fields__))


@dataclass(frozen=True)
class AlignedWord:
    """A word of the reference and the one opposite in the hypothesis; an empty string stands for none."""

    reference: str
    hypothesis: str

    @property
    def kind(self) -> str:
        """'equal', 'substitution', 'deletion' or 'insertion'."""
        if self.reference == self.hypothesis:
            return "equal"
        if not self.hypothesis:
            return "deletion"
        return "substitution" if self.reference else "insertion"

    def __str__(self) -> str:
        return f"{self.reference or NOTHING} -> {self.hypothesis or NOTHING}"


@dataclass(frozen=True)
class Scored:
    """One utterance with its transcript, aligned word by word. Reference and hypothesis are normalised."""

    utterance: Utterance
    transcript: Transcript
    reference: str
    hypothesis: str
    alignment: tuple[AlignedWord, ...]
    words: ErrorCounts
    characters: ErrorCounts


def score(
    pairs: Sequence[tuple[Utterance, Transcript]], text: TextConfig, alignment: Alignment = "levenshtein"
) -> list[Scored]:
    """Normalise both sides alike and align them by words and by characters (spaces included).

    Words are aligned with the costs of `alignment`, characters always with the fewest edits. A reference that
    normalises to nothing is scored too: each word opposite it is an insertion.
    """
    references = [normalize(utterance.text, text) for utterance, _ in pairs]
    hypotheses = [normalize(transcript.text, text) for _, transcript in pairs]
    align = _align_by_edits if alignment == "levenshtein" else _align_by_costs
    words = [tuple(aligned) for aligned in align(references, hypotheses)]
    characters = jiwer.process_characters(references, hypotheses)
    return [
        Scored(*pair, references[i], hypotheses[i], words[i], count(words[i]), _count_chunks(characters.alignments[i]))
        for i, pair in enumerate(pairs)
    ]


def count(alignment: Iterable[AlignedWord]) -> ErrorCounts:
    """The errors of an alignment."""
    kinds = Counter(word.kind for word in alignment)
    substitutions, deletions = kinds["substitution"], kinds["deletion"]
    return ErrorCounts(substitutions, deletions, kinds["insertion"], kinds["equal"] + substitutions + deletions)


def align_words(reference: Sequence[str], hypothesis: Sequence[str], costs: tuple[int, int, int]) -> list[AlignedWord]:
    """The cheapest alignment of two lists of words, with costs of a substitution, a deletion and an insertion.

    Of several that cost the same it is sclite's: from the end, a match or substitution comes before an insertion, and
    that before a deletion.
    """
    substitution, deletion, insertion = costs
    numbers: dict[str, int] = {}
    rows, columns = (
        np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int32)
        for words in (reference, hypothesis)
    )
    steps = insertion * np.arange(len(columns) + 1, dtype=np.int32)
    row = steps  # costs of the reference so far against each beginning of the hypothesis, (words + 1,)
    inserted = np.ones((len(rows) + 1, len(columns) + 1), bool)
    matched = np.zeros_like(inserted)
    for i, number in enumerate(rows, start=1):
        match = row[:-1] + np.where(columns == number, 0, substitution)
        best = row + deletion
        best[1:] = np.minimum(best[1:], match)
        row = np.minimum.accumulate(best - steps) + steps  # insertions, however many in a row
        matched[i, 1:] = row[1:] == match
        inserted[i, 0], inserted[i, 1:] = False, row[1:] == row[:-1] + insertion
    aligned, i, j = [], len(rows), len(columns)
    while i or j:
        if matched[i, j]:
            i, j = i - 1, j - 1
            aligned.append(AlignedWord(reference[i], hypothesis[j]))
        elif inserted[i, j]:
            j -= 1
            aligned.append(AlignedWord("", hypothesis[j]))
        else:
            i -= 1
            aligned.append(AlignedWord(reference[i], ""))
    return aligned[::-1]


def _align_by_costs(references: Sequence[str], hypotheses: Sequence[str]) -> Iterator[Iterable[AlignedWord]]:
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        yield align_words(reference.split(), hypothesis.split(), COSTS["sclite"])


def _align_by_edits(references: Sequence[str], hypotheses: Sequence[str]) -> Iterator[Iterable[AlignedWord]]:
    """The fewest edits (Levenshtein 1966), by jiwer."""
    words = jiwer.process_words(list(references), list(hypotheses))
    for reference, hypothesis, chunks in zip(words.references, words.hypotheses, words.alignments, strict=True):
        yield (word for chunk in chunks for word in _words_of(chunk, reference, hypothesis))


def _words_of(chunk: jiwer.AlignmentChunk, reference: list[str], hypothesis: list[str]) -> Iterator[AlignedWord]:
    return starmap(
        AlignedWord,
        zip_longest(
            reference[chunk.ref_start_idx : chunk.ref_end_idx],
            hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx],
            fillvalue="",
        ),
    )


def _count_chunks(chunks: list[jiwer.AlignmentChunk]) -> ErrorCounts:
    lengths = Counter()
    for chunk in chunks:
        lengths[chunk.type] += max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
    substitutions, deletions = lengths["substitute"], lengths["delete"]
    return ErrorCounts(substitutions, deletions, lengths["insert"], lengths["equal"] + substitutions + deletions)
