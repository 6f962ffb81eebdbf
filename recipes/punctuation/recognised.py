"""Scores on recognised text: `recognised.py PUNCTUATION LABELS HYPOTHESES MANIFEST`.

LABELS gives each word of some utterances of the manifest its case and mark, set by hand, as two digits per word (see
`asr.punctuation.labels`); HYPOTHESES is what `asr transcribe --format jsonl --no_punctuation` wrote. Recognised words
are aligned with the reference; only those that are aligned with a word are scored: with the pauses between them,
without, and the reference's own words.
"""

import json
import sys
from pathlib import Path

import jiwer
import numpy as np

from asr.punctuation.labeller import Labeller
from asr.punctuation.pauses import pauses_between
from asr.punctuation.scores import PunctuationScores
from asr.transcript import Word


def aligned(reference: list[str], hypothesis: list[str]) -> list[tuple[int, int]]:
    """The positions of words that are the same or are substituted for each other."""
    found = jiwer.process_words(" ".join(reference), " ".join(hypothesis)).alignments[0]
    return [
        pair
        for chunk in found
        if chunk.type in ("equal", "substitute")
        for pair in zip(
            range(chunk.ref_start_idx, chunk.ref_end_idx), range(chunk.hyp_start_idx, chunk.hyp_end_idx), strict=True
        )
    ]


def score(
    labeller: Labeller,
    labels: dict[str, str],
    texts: dict[str, str],
    references: dict[str, str],
    words: dict[str, list[Word]] | None = None,
) -> str:
    """The scores of some texts, each of an utterance with labels; `words` have their times, for the pauses."""
    rows = []
    for name, codes in labels.items():
        reference, text = references[name].split(), texts[name].split()
        true = np.array([list(map(int, code)) for code in codes.split()])
        pauses = pauses_between(words[name]) if words else None
        predicted = np.stack(labeller.label(text, pauses), axis=-1)
        rows += [(*true[i], *predicted[j]) for i, j in aligned(reference, text)]
    cases, marks, found_cases, found_marks = np.array(rows).T
    scores = PunctuationScores.of((cases, marks), (found_cases, found_marks))
    return f"{len(rows)} words  {scores.to_line()}"


def read(path: Path) -> dict[str, str]:
    """The texts of a manifest or of transcripts, by the last part of their ids."""
    return {Path(record["id"]).name: record["text"] for record in map(json.loads, path.read_text().splitlines())}


def read_words(path: Path) -> dict[str, list[Word]]:
    """The words of transcripts, by the last part of their ids."""
    records = map(json.loads, path.read_text().splitlines())
    return {Path(each["id"]).name: [Word(**word) for word in each["words"]] for each in records}


if __name__ == "__main__":
    model, labels, hypotheses, manifest = map(Path, sys.argv[1:])
    labeller, by_hand, references = Labeller(model), json.loads(labels.read_text()), read(manifest)
    recognised = read(hypotheses)
    print("recognised, pauses", score(labeller, by_hand, recognised, references, read_words(hypotheses)))
    print("recognised        ", score(labeller, by_hand, recognised, references))
    print("reference         ", score(labeller, by_hand, references, references))
