"""Plain words -> their labels, by a punctuation model in ONNX Runtime."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asr.errors import ModelFileError
from asr.model.graph_cache import cached_graph
from asr.punctuation.features import word_features
from asr.punctuation.model_file import PunctuationFile, load_punctuation
from asr.punctuation.pauses import with_pauses
from asr.utils.local_copy import local_copy
from asr.utils.onnx_session import one_thread_session
from asr.utils.storage import MODEL_NAME, in_folder, is_file

_BUILDER = Path(__file__).with_name("graph.py")
LONGEST = 4096  # words that are labelled at once, for bounded memory
CONTEXT = 64  # words on either side that are labelled with them, and again with their own


class Labeller:
    """A punctuation model, ready to label words."""

    def __init__(self, path: str | os.PathLike):
        """Raises `ModelFileError` naming the file when it cannot be used."""
        file = load_punctuation(path)
        try:
            self._session = one_thread_session(_graph(file))
        except ModelFileError as error:
            raise ModelFileError(f"{path}: damaged: {error}") from error
        self._buckets = file.buckets

    def label(self, words: Sequence[str], pauses: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The case and the mark of each word, `(words,)` each; see `asr.punctuation.labels`.

        `pauses` `(words,)` are the seconds behind each word, where they are known.
        """
        cases, marks = np.zeros(len(words), np.int64), np.zeros(len(words), np.int64)
        features = word_features([word.lower() for word in words], self._buckets)
        for start in range(0, len(words), LONGEST):
            first, stop = max(0, start - CONTEXT), start + LONGEST
            part = slice(first, stop + CONTEXT)
            case_scores, mark_scores = self._session.run(["cases", "marks"], {"features": features[None, part]})
            scores = case_scores[0], mark_scores[0]
            if pauses is not None:
                scores = with_pauses(scores[0], scores[1], pauses[part])
            for labels, found in zip((cases, marks), scores, strict=True):
                labels[start:stop] = found.argmax(-1)[start - first : stop - first]
        return cases, marks


def _graph(file: PunctuationFile) -> bytes:
    """The network's graph, from the cache if the file has been used before."""

    def build() -> bytes:
        from asr.punctuation.graph import build_graph  # imports onnx, which takes longer than labelling

        return build_graph(file.weights)

    return cached_graph(file.path, "punctuation", build, _BUILDER)


def punctuation_file(model: str | os.PathLike) -> Path | None:
    """The punctuation model that belongs to an acoustic model, punctuation.safetensors beside it, if there is one."""
    if not model:
        return None
    path = in_folder(model, MODEL_NAME).with_name("punctuation.safetensors")
    return local_copy(path) if is_file(path) else None
