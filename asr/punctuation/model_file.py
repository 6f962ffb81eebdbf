"""The punctuation model's file: safetensors with int8 matrices and JSON metadata, as the acoustic model's."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asr.errors import ModelFileError
from asr.model.model_file import FORMAT_VERSION, open_arrays, read_arrays, write_arrays
from asr.model.quantization import matrices, pack, unpack

KIND = "punctuation model"


@dataclass(frozen=True)
class PunctuationFile:
    """All that the file holds."""

    weights: dict[str, np.ndarray]  # by their names in `asr.punctuation.network.PunctuationNetwork`
    buckets: int  # rows of the embedding table
    training: dict[str, Any] = field(default_factory=dict)  # text, time, scores on dev, versions
    path: str = ""

    @property
    def sizes(self) -> dict[str, Any]:
        """Those of the network, by their names in `asr.punctuation.config.PunctuationConfig`."""
        recurrent = [array for name, array in self.weights.items() if name.endswith("forwards.weight_hh_l0")]
        embedding = self.weights["embedding.weight"].shape[1]
        sizes = {"width": recurrent[0].shape[1], "layers": len(recurrent)}
        return sizes | {"embedding": embedding, "buckets": self.buckets}


def save_punctuation(path: str | os.PathLike, contents: PunctuationFile) -> None:
    """Write the file."""
    metadata = {"format_version": FORMAT_VERSION, "kind": KIND, "buckets": contents.buckets}
    arrays = pack(contents.weights, matrices(contents.weights))
    write_arrays(path, arrays, metadata | {"training": contents.training})


def is_punctuation_file(path: str | os.PathLike) -> bool:
    """Whether a model file holds a punctuation model. Raises `ModelFileError` for one that cannot be used."""
    return open_arrays(path, "model file")[1].get("kind") == KIND


def load_punctuation(path: str | os.PathLike) -> PunctuationFile:
    """Read the file, its weights as float32. Raises `ModelFileError` naming it when it cannot be used."""
    arrays, metadata = read_arrays(path, KIND)
    if metadata.get("kind") != KIND:
        raise ModelFileError(f"{path}: not a {KIND}; `asr punctuate train` makes them")
    try:
        weights = unpack(arrays)
    except ValueError as error:
        raise ModelFileError(f"{path}: damaged: {error}; copy it again") from error
    return PunctuationFile(weights, metadata["buckets"], metadata["training"], str(path))
