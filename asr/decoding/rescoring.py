"""N-best rescoring: a recurrent language model, mixed with the n-gram model, reranks the hypotheses of the search."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from asr.decoding.config import BeamConfig
from asr.decoding.hypothesis import Hypothesis
from asr.lm.ngram import NgramModel
from asr.lm.query import query
from asr.lm.recurrent import SENTENCE_END, UNKNOWN_WORD, RecurrentModel

Ranked = list[tuple[int, Hypothesis]]  # with its place in the list that was ranked
WordScores = tuple[np.ndarray, np.ndarray]  # by the n-grams and by the recurrent model
HISTORY = 6  # words: hypotheses that agree in the last ones share a state, that of the better one (Liu et al. 2014)


class Rescorer:
    """Replaces the n-gram probability of each word by the mixture (1 - share) n-gram + share recurrent.

    Of words that the recurrent model lacks the n-gram probability is taken.
    """

    def __init__(self, model: RecurrentModel, ngrams: NgramModel):
        self._model, self._ngrams = model, ngrams

    def rank(self, hypotheses: Sequence[Hypothesis], config: BeamConfig, before: Sequence[str] = ()) -> Ranked:
        """The hypotheses with new scores, the best first, each with its place in `hypotheses`.

        `before` are the words before the utterance, which only the recurrent model reads.
        """
        return rank(hypotheses, self.word_scores(hypotheses, before), config)

    def word_scores(self, hypotheses: Sequence[Hypothesis], before: Sequence[str] = ()) -> list[WordScores]:
        """ln P of each word of each hypothesis and of its end, by the n-grams and by the recurrent model.

        `(words + 1,)` each; NaN for words that the recurrent model lacks.
        """
        sequences = [each.words for each in hypotheses]
        return list(zip(self._ngram_scores(sequences), self._recurrent_scores(sequences, before), strict=True))

    def _ngram_scores(self, sequences: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """ln P of each word of each sequence and of its end, `(words + 1,)`, or `(words,)` + a zero without </s>."""
        model, known = self._ngrams, {}
        rows = []
        for words in sequences:
            state, row = model.begin, []
            ids = [model.index.get(word, model.unknown) for word in words] + [model.end] * (model.end >= 0)
            for id in ids:
                if (state, id) not in known:
                    known[state, id] = query(model.arrays, state, id)
                score, state = known[state, id]
                row.append(score)
            rows.append(np.array(row + [0.0] * (len(words) + 1 - len(row))))
        return rows

    def _recurrent_scores(self, sequences: Sequence[Sequence[str]], before: Sequence[str]) -> list[np.ndarray]:
        """ln P of each word of each sequence and of its end, `(words + 1,)`; NaN for words that the model lacks.

        Word by word, the sequences' distinct histories are moved on together.
        """
        index = self._model.index
        ids = [[index.get(word, UNKNOWN_WORD) for word in words] for words in sequences]
        start = [SENTENCE_END, *(index.get(word, UNKNOWN_WORD) for word in before), *([SENTENCE_END] if before else [])]
        outputs, state = self._model.move(np.array(start)[:, None], self._model.start())
        places = [0] * len(ids)  # of each sequence's history among those of the current length
        found, rows, pairs = [outputs[-1]], 1, [[(0, row[0] if row else SENTENCE_END)] for row in ids]
        for length in range(1, max(map(len, ids), default=0) + 1):
            histories: dict[tuple[str, ...], int] = {}
            parents, read = [], []
            for number, row in enumerate(ids):
                if len(row) < length:
                    continue
                tail = tuple(sequences[number][max(0, length - HISTORY) : length])
                if tail not in histories:
                    histories[tail] = len(parents)
                    parents.append(places[number])
                    read.append(row[length - 1])
                places[number] = histories[tail]
                pairs[number].append((rows + places[number], row[length] if length < len(row) else SENTENCE_END))
            outputs, state = self._model.move(np.array([read]), state[:, :, parents])
            found.append(outputs[0])
            rows += len(parents)
        return self._look_up(np.concatenate(found), pairs)

    def _look_up(self, outputs: np.ndarray, pairs: list[list[tuple[int, int]]]) -> list[np.ndarray]:
        """ln P of words after outputs: each pair is a row of `outputs` and a word."""
        distinct = sorted({pair for row in pairs for pair in row})
        at, words = np.array(distinct).T
        scores = np.where(words == UNKNOWN_WORD, np.nan, self._model.score(outputs, words, at))
        known = dict(zip(distinct, scores, strict=True))
        return [np.array([known[pair] for pair in row]) for row in pairs]


def rank(hypotheses: Sequence[Hypothesis], word_scores: Sequence[WordScores], config: BeamConfig) -> Ranked:
    """`Rescorer.rank` with known `word_scores`."""
    rescored = []
    for each, (ngram, recurrent) in zip(hypotheses, word_scores, strict=True):
        lm = mixture(ngram, recurrent, config.rescore_share)
        gain = config.lm_weight * (config.rescore_weight * lm - float(ngram.sum()))
        rescored.append(replace(each, lm=lm, score=each.score + gain))
    return sorted(enumerate(rescored), key=lambda item: (-item[1].score, item[0]))


def mixture(ngram: np.ndarray, recurrent: np.ndarray, share: float) -> float:
    """ln P of a hypothesis by both models together, from its `word_scores`, `(words,)` each."""
    if not share:
        return float(ngram.sum())
    recurrent = np.where(np.isnan(recurrent), ngram, recurrent)
    return float(np.logaddexp(ngram + np.log1p(-share), recurrent + np.log(share)).sum())
