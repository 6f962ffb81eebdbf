"""Files of recurrent language models: safetensors, matrices in int8, with the words."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from asr.errors import LanguageModelError, ModelFileError
from asr.lm.config import Kind, Normalizer
from asr.model.model_file import FORMAT_VERSION, open_arrays, read_arrays, write_arrays
from asr.model.quantization import matrices, pack, unpack
from asr.utils.local_copy import local_copy

CONTENTS = "recurrent language model"
WORDS = "words"  # their text, one per line, among the arrays


@dataclass(frozen=True)
class RecurrentFile:
    """All that the file of a recurrent language model holds."""

    weights: Mapping[str, np.ndarray]  # by their names in `asr.lm.recurrent_network.RecurrentNetwork`
    kind: Kind
    words: tuple[str, ...]  # <unk>, </s>, and the others from the most frequent to the rarest
    normalizer: Normalizer
    characters: bool
    training: dict[str, Any]  # text, options, perplexity
    path: str = ""

    @property
    def units(self) -> int:
        """Values of a layer's output."""
        return self.weights["recurrent.weight_hh_l0"].shape[1]

    @property
    def embedding(self) -> int:
        """Values of a word vector."""
        return self.weights["embedding.weight"].shape[1]

    @property
    def layers(self) -> int:
        """Number of recurrent layers."""
        return sum(name.startswith("recurrent.weight_hh") for name in self.weights)

    def to_text(self) -> str:
        """Rows of names and values."""
        training = self.training
        rows = [
            ("network", f"{self.kind}, {self.layers} x {self.units}, word vectors of {self.embedding}"),
            ("vocabulary", f"{len(self.words) - 2:,} {'characters' if self.characters else 'words'}"),
            ("text", f"{training['words']:,} words, {training['read']:,} read in training"),
            ("perplexity", f"{training['dev_perplexity']:.2f} on {training['dev_words']:,} words of dev text"),
        ]
        return "\n".join(f"{name:<11} {value}" for name, value in rows)


def write_recurrent(path: str | os.PathLike, contents: RecurrentFile) -> None:
    """Write a file."""
    arrays = pack(contents.weights, matrices(contents.weights))
    arrays[WORDS] = np.frombuffer("\n".join(contents.words).encode(), np.uint8)
    metadata = {
        "format_version": FORMAT_VERSION,
        "contents": CONTENTS,
        "kind": contents.kind,
        "normalizer": contents.normalizer,
        "characters": contents.characters,
        "training": contents.training,
    }
    write_arrays(path, arrays, metadata)


def is_recurrent_file(path: str | os.PathLike) -> bool:
    """Whether a safetensors file of this program is a recurrent language model.

    Raises `ModelFileError` naming a file of another program, or a damaged one.
    """
    return open_arrays(path, "model file")[1].get("contents") == CONTENTS


def read_recurrent(path: str | os.PathLike) -> RecurrentFile:
    """Read a file, its weights as float32. Raises `LanguageModelError` naming one that cannot be used."""
    try:
        path = local_copy(path)
        arrays, metadata = read_arrays(path, "language model")
        if metadata.get("contents") != CONTENTS:
            raise LanguageModelError(f"{path}: not a recurrent language model; `asr lm train --kind lstm` makes them")
        words = tuple(arrays.pop(WORDS).tobytes().decode().split("\n"))
        weights = unpack(arrays)
        if not all(np.isfinite(array).all() for array in weights.values()):
            raise LanguageModelError(f"{path}: damaged, it has weights that are NaN or infinite; copy it again")
        text = metadata["normalizer"], metadata["characters"]
        return RecurrentFile(weights, metadata["kind"], words, *text, metadata["training"], str(path))
    except ModelFileError as error:
        raise LanguageModelError(
            str(error).replace("`asr train` makes model files", "`asr lm train` makes one")
        ) from error
    except OSError as error:
        raise LanguageModelError(f"{path}: {error.strerror}; give the address of a language model") from error
    except (KeyError, ValueError) as error:
        raise LanguageModelError(f"{path}: damaged ({error}); copy it again") from error
