"""Recurrent language models in use: states moved on by words, and the log-probabilities of the next word."""

import os
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from asr.errors import LanguageModelError
from asr.lm.recurrent_file import RecurrentFile, read_recurrent
from asr.model.graph_cache import cached_graph
from asr.utils.onnx_session import PortableSession

UNKNOWN_WORD, SENTENCE_END = 0, 1  # ids in every recurrent model
_BUILDER = Path(__file__).with_name("recurrent_graph.py")
ROWS = 256  # whose log-probabilities are computed at once: 20 MB with 20,000 words


class RecurrentModel:
    """A recurrent language model that computes in the calling thread, by ONNX Runtime."""

    def __init__(self, file: RecurrentFile, int8: bool = False):
        """`int8`: with int8 arithmetic, which is faster and changes ln P by a few hundredths. Raises
        `LanguageModelError` naming a file whose weights do not fit together."""
        self.file = file
        try:
            self._states, self._outputs = (PortableSession(_graph(file, part, int8)) for part in ("states", "outputs"))
        except Exception as error:  # ONNX Runtime has a dozen kinds without a common base
            raise LanguageModelError(f"{file.path}: damaged ({str(error).splitlines()[0]}); copy it again") from error

    @classmethod
    def load(cls, path: str | os.PathLike, int8: bool = False) -> "RecurrentModel":
        """Read a file; raises `LanguageModelError` naming one that cannot be used."""
        return cls(read_recurrent(path), int8)

    @cached_property
    def index(self) -> dict[str, int]:
        """Id of each word."""
        return {word: id for id, word in enumerate(self.file.words)}

    def start(self, lanes: int = 1) -> np.ndarray:
        """The state before any word, `(parts, layers, lanes, units)`."""
        parts = 2 if self.file.kind == "lstm" else 1
        return np.zeros((parts, self.file.layers, lanes, self.file.units), np.float32)

    def move(self, words: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read words `(span, lanes)`: outputs `(span, lanes, size of a word vector)`, and the state after them."""
        outputs, state = self._states.run(None, {"words": words.astype(np.int64), "state": state})
        return outputs, state

    def log_probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """ln P of every word after outputs `(rows, size of a word vector)`: `(rows, words)`."""
        return self._outputs.run(None, {"outputs": outputs})[0]

    def score(self, outputs: np.ndarray, targets: np.ndarray, at: np.ndarray | None = None) -> np.ndarray:
        """ln P of the words `targets` `(targets,)` after outputs `(rows, size)`: `(targets,)`.

        `at` `(targets,)` are their rows, in ascending order; without it, there is one target per row.
        """
        parts, at = [], np.arange(len(targets)) if at is None else at
        for first in range(0, len(outputs), ROWS):
            here = slice(*np.searchsorted(at, [first, first + ROWS]))
            scores = self.log_probabilities(outputs[first : first + ROWS])
            parts.append(scores[at[here] - first, targets[here]])
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _graph(file: RecurrentFile, part: Literal["states", "outputs"], int8: bool) -> bytes:
    """One of a model's graphs, from the cache if the file has been used before."""

    def build() -> bytes:
        from asr.lm.recurrent_graph import output_graph, state_graph

        states = part == "states"
        graph = state_graph(file.kind, file.weights, int8) if states else output_graph(file.weights, int8)
        return graph.SerializeToString()

    return cached_graph(file.path, f"{part}-int8" if int8 else part, build, _BUILDER) if file.path else build()
