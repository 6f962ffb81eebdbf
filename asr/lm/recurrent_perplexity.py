"""Perplexity of a recurrent language model on a text."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from asr.lm.config import PerplexityConfig
from asr.lm.perplexity import Perplexity
from asr.lm.recurrent import SENTENCE_END, UNKNOWN_WORD, RecurrentModel
from asr.lm.word_stream import encode_texts

LANES = 64  # sentences, or windows of context, at once
SPAN = 256  # words at once when the state is carried

Scored = tuple[np.ndarray, np.ndarray]  # words, and ln P of each


def measure_recurrent(model: RecurrentModel, paths: Sequence[Path], config: PerplexityConfig) -> Perplexity:
    """Score text files or manifests: each sentence by itself, in their order with the state carried, or with a limited
    context. Raises `LanguageModelError` when they have no words."""
    ids = np.concatenate(list(encode_texts(paths, config, model.index)))
    if config.context:
        scored = _in_windows(model, ids, config.context)
    else:
        scored = _in_order(model, ids) if config.carry else _by_sentence(model, ids)
    words, scores = (np.concatenate(parts) for parts in zip(*scored, strict=True))
    unknown = words == UNKNOWN_WORD
    sentences = int((words == SENTENCE_END).sum())
    return Perplexity(
        len(words),
        len(words) - sentences,
        sentences,
        int(unknown.sum()),
        float(scores.sum(dtype=np.float64)),
        float(scores[unknown].sum(dtype=np.float64)),
        (),
        config.unit,
    )


def _in_order(model: RecurrentModel, ids: np.ndarray) -> Iterator[Scored]:
    """Each word after all before it."""
    state, read = model.start(), np.concatenate([[SENTENCE_END], ids[:-1]])
    for first in range(0, len(ids), SPAN):
        outputs, state = model.move(read[first : first + SPAN, None], state)
        targets = ids[first : first + SPAN]
        yield targets, model.score(outputs[:, 0], targets)


def _by_sentence(model: RecurrentModel, ids: np.ndarray) -> Iterator[Scored]:
    """Each word after those before it in its sentence."""
    ends = np.flatnonzero(ids == SENTENCE_END) + 1
    sentences = sorted(np.split(ids, ends[:-1]), key=len)
    for first in range(0, len(sentences), LANES):
        batch = sentences[first : first + LANES]
        targets = np.full((max(map(len, batch)), len(batch)), -1)
        for lane, sentence in enumerate(batch):
            targets[: len(sentence), lane] = sentence
        read = np.vstack([np.full(len(batch), SENTENCE_END), np.where(targets[:-1] < 0, SENTENCE_END, targets[:-1])])
        outputs, _ = model.move(read, model.start(len(batch)))
        inside = targets >= 0
        yield targets[inside], model.score(outputs[inside], targets[inside])


def _in_windows(model: RecurrentModel, ids: np.ndarray, context: int) -> Iterator[Scored]:
    """Each word after the `context` words before it."""
    padded = np.concatenate([np.full(context, SENTENCE_END), ids])
    windows = np.lib.stride_tricks.sliding_window_view(padded, context)[: len(ids)]
    for first in range(0, len(ids), LANES):
        read, targets = windows[first : first + LANES].T, ids[first : first + LANES]
        outputs, _ = model.move(read, model.start(len(targets)))
        yield targets, model.score(outputs[-1], targets)
