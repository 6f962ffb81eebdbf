"""The model file: safetensors with JSON metadata, never pickle. One file holds all that recognition needs.

It is written aside and renamed, so a crash leaves the old file or the new one.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import safetensors
import safetensors.numpy

from asr.audio.config import FeatureConfig
from asr.errors import AsrError, ModelFileError
from asr.model.config import ModelConfig
from asr.model.graph_cache import cached_graph
from asr.model.quantization import pack, unpack
from asr.text.config import TextConfig
from asr.text.tokenizer import Tokenizer, load_tokenizer
from asr.utils.config_io import from_values, to_values
from asr.utils.files import write_atomically
from asr.utils.local_copy import local_copy
from asr.utils.storage import MODEL_NAME, identity, in_folder, shown

if TYPE_CHECKING:
    import onnx

FORMAT_VERSION = 2  # 1 has no int8 weights
LSTM_MATRIX = re.compile(r".*\.weight_[ih]h_l0")
HEAD = ("head.weight", "head.bias")  # a row per token

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ModelFile:
    """All that a model file holds."""

    weights: Arrays  # by their names in `asr.model.acoustic_model.AcousticModel`
    features: FeatureConfig
    text: TextConfig
    architecture: ModelConfig
    tokenizer: Tokenizer
    training: dict[str, Any]  # data, time, measured dev WER, versions
    phones: tuple[str, ...] = ()  # names of the phones, the blank first, of a network with a phone layer
    priors: tuple[float, ...] = ()  # mean probability of each token, and of each phone, over all dev frames
    path: str = ""  # where it was read from, for messages
    onnx: bytes | None = None  # the whole file, if it is an ONNX file, which has its weights inside the graph

    @property
    def frame_seconds(self) -> float:
        """Seconds from one output frame to the next."""
        return self.features.hop_seconds * self.architecture.subsampling

    @property
    def frame_samples(self) -> int:
        """Samples from one output frame to the next."""
        return self.features.hop_samples * self.architecture.subsampling

    @property
    def parameter_count(self) -> int:
        """Number of trained values."""
        return sum(array.size for array in self.weights.values())

    def graph(self, precision: str) -> bytes:
        """The network for ONNX Runtime, with 'float32' or 'int8' weights ('auto': int8). An ONNX file has what it has.

        Raises `ModelFileError` when the weights do not fit the settings.
        """
        if self.onnx is not None:
            return self.onnx

        def build() -> bytes:
            return _build(self, precision).SerializeToString()

        if not (isinstance(self.weights, StoredWeights) and self.weights.are_current()):
            return build()
        return cached_graph(str(self.weights.path), "float32" if precision == "float32" else "int8", build)

    def of_tokens(self, emission: np.ndarray) -> np.ndarray:
        """The log-probabilities of the tokens, `(..., tokens)`, among those that the network outputs."""
        return emission[..., : len(self.tokenizer.pieces)]


def save_model(path: str | os.PathLike, contents: ModelFile) -> None:
    """Write a model file."""
    write_arrays(path, contents.weights, metadata_of(contents))


def metadata_of(contents: ModelFile) -> dict[str, Any]:
    """All but the weights, as plain values."""
    return {
        "format_version": FORMAT_VERSION,
        "features": to_values(contents.features),
        "text": to_values(contents.text),
        "model": to_values(contents.architecture),
        "tokenizer": contents.tokenizer.to_json(),
        "phones": contents.phones,
        "priors": contents.priors,
        "training": contents.training,
    }


def export(path: str | os.PathLike, output: str | os.PathLike, precision: str = "float32") -> None:
    """Write a model file again as ONNX, with 'float32' or 'int8' weights. Raises `ModelFileError`."""
    from asr.model.onnx_file import write_onnx

    contents = load_model(path)
    if contents.onnx is not None:
        raise ModelFileError(f"{path}: is an ONNX file already; give the .safetensors that it was made from")
    write_onnx(output, _build(contents, precision), metadata_of(contents))


def _build(contents: ModelFile, precision: str) -> "onnx.ModelProto":
    from asr.model.onnx_graph import build_graph

    try:
        return build_graph(contents.architecture, contents.features.mels, contents.weights, precision != "float32")
    except ModelFileError as error:
        raise damaged(contents.path, error) from error


def compress(path: str | os.PathLike, output: str | os.PathLike, precision: Literal["float16", "int8"]) -> None:
    """Rewrite a model file with smaller weights: float16 has three significant digits. With 'int8' the matrices of
    LSTMs are rounded as the graph with int8 weights rounds them, which stays the same, and the rest is float16.

    Raises `ModelFileError` when the file cannot be used, or has weights beyond float16's range.
    """
    contents = load_model(path)
    limit = np.finfo(np.float16).max
    if not all(np.abs(array).max() <= limit for array in contents.weights.values()):
        raise ModelFileError(f"{path}: has weights above {limit:g}, which float16 cannot hold")
    rounded = {name for name in contents.weights if precision == "int8" and LSTM_MATRIX.fullmatch(name)}
    save_model(output, replace(contents, weights=pack(contents.weights, rounded)))


def load_model(path: str | os.PathLike) -> ModelFile:
    """Read a model file, its weights as float32: safetensors, or an ONNX file by its name. Of a URL without a suffix,
    such as hf://user/name, it is the file model.safetensors.

    Raises `ModelFileError` naming the file when it is missing, cut short, of another kind or from a newer version.
    Whether the weights fit the settings shows when a network is made of them.
    """
    path = in_folder(path, MODEL_NAME)
    try:
        local, name = local_copy(path), shown(path)
    except OSError as error:
        raise ModelFileError(f"{shown(path)}: {error.strerror}; give the address of a model file") from error
    if str(path).endswith(".onnx"):
        from asr.model.onnx_file import read_onnx

        data, metadata = read_onnx(local)
        check_version(metadata["format_version"], name)
        return replace(contents_of({}, metadata, name), onnx=data)
    file, metadata = open_arrays(local, "model file")
    return contents_of(StoredWeights(local, file), metadata, name)


class StoredWeights(Mapping):
    """The weights of a model file as float32, read when one of them is first asked for: recognition has no use for them
    when the graph is in the cache.

    Raises `ModelFileError` then if they are NaN or infinite.
    """

    def __init__(self, path: str | os.PathLike, file: safetensors.safe_open):
        self.path, self._file, self._identity = path, file, identity(path)

    def __getstate__(self) -> dict:
        # An open file cannot be sent to another process, which opens the file itself if it needs the weights.
        return self.__dict__ | {"_file": None}

    def are_current(self) -> bool:
        """Whether the file at this path still is the one that was opened."""
        with contextlib.suppress(OSError):
            return identity(self.path) == self._identity
        return False

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        file = self._file or open_arrays(self.path, "model file")[0]
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        try:
            arrays = unpack(stored)
        except ValueError as error:
            raise damaged(self.path, error) from error
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ModelFileError(f"{self.path}: damaged, it has weights that are NaN or infinite; copy it again")
        return arrays

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def contents_of(weights: Arrays, metadata: dict[str, Any], path: str | os.PathLike) -> ModelFile:
    """The contents of a model file, the reverse of `metadata_of`; raises `ModelFileError` naming the file."""
    try:
        contents = ModelFile(
            weights,
            from_values(FeatureConfig, metadata["features"], str(path)),
            from_values(TextConfig, metadata["text"], str(path)),
            from_values(ModelConfig, metadata["model"], str(path)),
            load_tokenizer(metadata["tokenizer"]),
            metadata.get("training", {}),
            tuple(metadata.get("phones", ())),
            tuple(map(float, metadata.get("priors", ()))),
            str(path),
        )
        labels = len(contents.tokenizer.pieces) + len(contents.phones)
        if len(contents.priors) not in (0, labels) or not all(0 < each <= 1 for each in contents.priors):
            raise ModelFileError(f"{len(contents.priors)} priors that cannot be those of its tokens and phones")
    except (KeyError, TypeError, ValueError, RuntimeError, AsrError) as error:
        raise damaged(path, error) from error
    return contents


def damaged(path: str | os.PathLike, error: Exception) -> ModelFileError:
    """The error for a model file whose contents cannot be used."""
    reason = str(error).splitlines()[0]
    return ModelFileError(f"{path}: damaged, or not made by this program ({reason}); copy it again")


def write_arrays(path: str | os.PathLike, arrays: Arrays, metadata: dict[str, Any]) -> None:
    """Write a safetensors file with this program's metadata."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(path, safetensors.numpy.save(arrays, {"asr": json.dumps(metadata, ensure_ascii=False)}))


def read_arrays(path: str | os.PathLike, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata that `write_arrays` wrote; raises `ModelFileError` naming the file and its `kind`."""
    file, metadata = open_arrays(path, kind)
    return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 (not a dict)


def open_arrays(path: str | os.PathLike, kind: str) -> tuple[safetensors.safe_open, dict[str, Any]]:
    """The file of `write_arrays`, whose arrays are not read yet, and the metadata; errors as of `read_arrays`."""
    if not Path(path).is_file():
        raise ModelFileError(f"{path}: no such {kind}; `asr train` makes model files")
    try:
        file = safetensors.safe_open(path, framework="numpy")
        metadata = json.loads((file.metadata() or {})["asr"])
        json.dumps(metadata, ensure_ascii=False).encode()  # no lone surrogates, which nobody could print
        metadata["format_version"] = int(metadata["format_version"])
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        raise ModelFileError(f"{path}: cut short, damaged or not a {kind} ({error}); copy it again") from error
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ModelFileError(f"{path}: a safetensors file, but not a {kind} of this program") from error
    check_version(metadata["format_version"], path)
    return file, metadata


def check_version(version: int, path: str | os.PathLike) -> None:
    """Raise `ModelFileError` for a file that a newer version of this program wrote."""
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: format version {version} is newer than this program knows ({FORMAT_VERSION}); upgrade asr"
        )
