"""The punctuation model's file: safetensors with float16 weights and JSON metadata, as the acoustic model's."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asr.errors import ModelFileError
from asr.model.model_file import FORMAT_VERSION, open_arrays, read_arrays, write_arrays

KIND = "punctuation model"
TABLE, SCALES = "embedding.weight", "embedding.scales"


@dataclass(frozen=True)
class PunctuationFile:
    """All that the file holds."""

    weights: dict[str, np.ndarray]  # by their names in `asr.punctuation.network.PunctuationNetwork`
    buckets: int  # rows of the embedding table
    training: dict[str, Any] = field(default_factory=dict)  # text, time, scores on dev, versions
    path: str = ""


def save_punctuation(path: str | os.PathLike, contents: PunctuationFile) -> None:
    """Write the file: float16 weights, and the embedding table in int8 with a scale per row."""
    weights = {name: array.astype(np.float16) for name, array in contents.weights.items()}
    table = contents.weights[TABLE]
    scales = np.maximum(abs(table).max(axis=1, keepdims=True), 1e-3).astype(np.float16) / 127
    weights |= {TABLE: np.rint(table / scales).clip(-127, 127).astype(np.int8), SCALES: scales}
    metadata = {"format_version": FORMAT_VERSION, "kind": KIND, "buckets": contents.buckets}
    write_arrays(path, weights, metadata | {"training": contents.training})


def is_punctuation_file(path: str | os.PathLike) -> bool:
    """Whether a model file holds a punctuation model. Raises `ModelFileError` for one that cannot be used."""
    return open_arrays(path, "model file")[1].get("kind") == KIND


def load_punctuation(path: str | os.PathLike) -> PunctuationFile:
    """Read the file, its weights as float32. Raises `ModelFileError` naming it when it cannot be used."""
    weights, metadata = read_arrays(path, KIND)
    if metadata.get("kind") != KIND:
        raise ModelFileError(f"{path}: not a {KIND}; `asr punctuate train` makes them")
    floats = {name: array.astype(np.float32) for name, array in weights.items()}
    try:
        floats[TABLE] *= floats.pop(SCALES)
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"{path}: damaged: no scales that fit the embedding table; copy it again") from error
    return PunctuationFile(floats, metadata["buckets"], metadata["training"], str(path))
