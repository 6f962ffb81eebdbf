"""Text from a language model, word by word."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from asr.errors import LanguageModelError
from asr.lm import is_recurrent
from asr.lm.config import SampleConfig
from asr.lm.ngram import NgramModel
from asr.lm.query import query
from asr.lm.recurrent import SENTENCE_END, UNKNOWN_WORD, RecurrentModel
from asr.lm.trie import BEGIN
from asr.text.normalizer import NORMALIZERS
from asr.utils.numba_cache import compiled


class Source(Protocol):
    """A language model to draw from. A state is whatever it needs of the words so far."""

    words: tuple[str, ...]
    end: int  # id of the sentence end; -1 without one
    banned: tuple[int, ...]  # ids that are never drawn

    def start(self) -> Any:
        """The state before the first word."""
        ...

    def move(self, state: Any, word: int) -> Any:
        """The state after a word."""
        ...

    def log_probabilities(self, state: Any) -> np.ndarray:
        """ln P of every word, `(words,)`."""
        ...


class NgramSource:
    """An n-gram model to draw from."""

    def __init__(self, model: NgramModel):
        self._model, self.words, self.end = model, tuple(model.words), model.end
        self.banned: tuple[int, ...] = (model.unknown, *([model.index[BEGIN]] if BEGIN in model.index else []))

    def start(self) -> int:
        """The state at the beginning of a sentence."""
        return self._model.begin

    def move(self, state: int, word: int) -> int:
        """The state after a word; after a sentence end, that at the beginning of the next."""
        return self.start() if word == self.end else int(query(self._model.arrays, state, word)[1])

    def log_probabilities(self, state: int) -> np.ndarray:
        """ln P of every word, `(words,)`."""
        return _ngram_log_probabilities(self._model.arrays, np.int64(state), len(self.words))


class RecurrentSource:
    """A recurrent model to draw from."""

    def __init__(self, model: RecurrentModel):
        self._model, self.words, self.end = model, model.file.words, SENTENCE_END
        self.banned: tuple[int, ...] = (UNKNOWN_WORD,)

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        """Outputs and state after a sentence end."""
        return self._model.move(np.array([[SENTENCE_END]]), self._model.start())

    def move(self, state: tuple[np.ndarray, np.ndarray], word: int) -> tuple[np.ndarray, np.ndarray]:
        """Outputs and state after a word."""
        return self._model.move(np.array([[word]]), state[1])

    def log_probabilities(self, state: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """ln P of every word, `(words,)`."""
        return self._model.log_probabilities(state[0][0])[0]


def load_source(path: Path) -> Source:
    """A language model of either kind. Raises `LanguageModelError` naming one that cannot be used."""
    return RecurrentSource(RecurrentModel.load(path)) if is_recurrent(path) else NgramSource(NgramModel.load(path))


def sample(source: Source, config: SampleConfig) -> str:
    """Text of `config.length` words after the prompt, a sentence per line. The same seed gives the same text.

    Raises `LanguageModelError` for a word of the prompt that the model lacks.
    """
    text = "".join(_sample(source, config))
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _sample(source: Source, config: SampleConfig) -> Iterator[str]:
    generator, state = np.random.default_rng(config.seed), source.start()
    for word in NORMALIZERS["basic"](config.prompt).split():
        if word not in source.words:
            raise LanguageModelError(f"--prompt: the language model does not have the word '{word}'")
        state = source.move(state, source.words.index(word))
        yield f"{word} "
    written = 0
    while written < config.length:
        scores = source.log_probabilities(state).astype(np.float64) / config.temperature
        scores[list(source.banned)] = -np.inf
        word = draw(scores, config.top_p, generator)
        state = source.move(state, word)
        written += word != source.end
        yield "\n" if word == source.end else f"{source.words[word]} "


def draw(scores: np.ndarray, top_p: float, generator: np.random.Generator) -> int:
    """An index by unnormalised log-probabilities `(words,)`, among the likeliest that have `top_p` together."""
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    before = np.cumsum(shares[order]) - shares[order]
    kept = order[before < top_p]
    return int(generator.choice(kept, p=shares[kept] / shares[kept].sum()))


@compiled
def _ngram_log_probabilities(arrays, state, words):
    scores = np.empty(words)
    for word in range(words):
        scores[word] = query(arrays, state, np.int64(word))[0]
    return scores
