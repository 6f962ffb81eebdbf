"""Perplexity of a language model on a text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.errors import LanguageModelError
from asr.lm.config import LmTextConfig
from asr.lm.corpus import BEGIN_ID, END_ID, TextReader
from asr.lm.ngram import NgramModel
from asr.lm.query import find
from asr.utils.numba_cache import compiled


@dataclass(frozen=True)
class Perplexity:
    """Sums over a text. As in KenLM's `query`, sentence ends are predicted too and `<s>` is not; a model without </s>
    predicts the words alone."""

    predicted: int  # words, and sentence ends if the model has </s>
    words: int
    sentences: int
    unknown: int  # words that the model does not have
    logp: float  # ln P of all that was predicted
    unknown_logp: float  # ln P of the unknown words, as <unk>
    hits: tuple[int, ...]  # predictions by the order of the n-gram that was found
    unit: str = "words"  # or characters
    tags: int = 0  # such as <unk> and [noise], dropped from the text

    @property
    def perplexity(self) -> float:
        """Perplexity with unknown words scored as <unk>."""
        return math.exp(-self.logp / self.predicted)

    @property
    def perplexity_known(self) -> float:
        """Perplexity without the unknown words."""
        known = self.predicted - self.unknown
        return math.exp(-(self.logp - self.unknown_logp) / known) if known else math.nan

    def to_text(self) -> str:
        """Rows of names and values."""
        rows = [
            ("perplexity", f"{self.perplexity:.2f} with unknown {self.unit}, {self.perplexity_known:.2f} without"),
            ("text", f"{self.words:,} {self.unit} in {self.sentences:,} sentences"),
            ("unknown", f"{self.unknown:,} {self.unit} ({self.unknown / max(1, self.words):.2%})"),
        ]
        if self.tags:
            rows.append(("dropped", f"{self.tags:,} tags, such as <unk> or [noise]"))
        rows += [
            (f"{order}-grams", f"{hits:,} found ({hits / self.predicted:.1%})")
            for order, hits in enumerate(self.hits, start=1)
        ]
        return "\n".join(f"{name:<11} {value}" for name, value in rows)


def measure_perplexity(model: NgramModel, paths: Sequence[Path], config: LmTextConfig) -> Perplexity:
    """Score text files or manifests. Raises `LanguageModelError` when they have no words."""
    reader = TextReader(paths, config.normalizer, config.characters)
    known = np.full(0, -1, np.int32)  # the model's id of each of the reader's words; -1: unknown
    sums, hits = np.zeros(4), np.zeros(model.order, np.int64)
    starts = np.array(model.starts)
    for ids in reader:
        new = reader.words[len(known) :]
        known = np.append(known, np.array([model.index.get(word, -1) for word in new], np.int32))
        known[known == model.unknown] = -1
        _score(model.arrays, ids, known, model.begin, model.unknown, model.end, starts, sums, hits)
    predicted, sentences, unknown = int(hits.sum()), int(sums[3]), int(sums[2])
    words = predicted - sentences if model.end >= 0 else predicted
    if not words:
        raise LanguageModelError(f"{', '.join(map(str, paths))}: no words in it")
    found = tuple(hits.tolist())
    return Perplexity(predicted, words, sentences, unknown, sums[0], sums[1], found, config.unit, reader.tags)


@compiled
def _score(arrays, ids, known, begin, unknown, end, starts, sums, hits):
    """Add to the sums: ln P, ln P of unknown words, unknown words, sentences; and to the hits of each order."""
    state = np.int64(begin)
    for id in ids:
        if id == BEGIN_ID:
            state = np.int64(begin)
            sums[3] += 1
            continue
        word = np.int64(end) if id == END_ID else np.int64(known[id])
        if id == END_ID and end < 0:
            continue
        is_unknown = word < 0
        logp, node = find(arrays, state, np.int64(unknown) if is_unknown else word)
        state = np.int64(arrays.next[node])
        sums[0] += logp
        if is_unknown:
            sums[1] += logp
            sums[2] += 1
        hits[np.searchsorted(starts, node, side="right") - 2] += 1
