"""The model file and the checkpoints that training resumes from: safetensors with JSON metadata, never pickle.

Both are written aside and renamed, so a crash leaves the old file or the new one.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from asr.audio.config import FeatureConfig
from asr.errors import AsrError, ModelFileError
from asr.model.acoustic_model import AcousticModel
from asr.model.config import ModelConfig
from asr.text.config import TextConfig
from asr.text.tokenizer import Tokenizer, load_tokenizer
from asr.utils.config_io import from_values, to_values
from asr.utils.files import write_atomically

FORMAT_VERSION = 1
HEAD = ("head.weight", "head.bias")  # a row for each token


@dataclass(frozen=True)
class ModelFile:
    """All that a model file holds."""

    model: AcousticModel
    features: FeatureConfig
    text: TextConfig
    architecture: ModelConfig
    tokenizer: Tokenizer
    training: dict[str, Any]  # data, time, measured dev WER, versions
    phones: tuple[str, ...] = ()  # names of the phones, the blank first, of a network with a phone layer
    priors: tuple[float, ...] = ()  # how probable each token was, and each phone, in the mean over all dev frames

    @property
    def frame_seconds(self) -> float:
        """Seconds from one output frame to the next."""
        return self.features.hop_seconds * self.architecture.subsampling

    def of_tokens(self, emission: np.ndarray) -> np.ndarray:
        """The log-probabilities of the tokens, `(..., tokens)`, in what the network says."""
        return emission[..., : len(self.tokenizer.pieces)]


def save_model(path: str | os.PathLike, contents: ModelFile, weights: torch.dtype = torch.float32) -> None:
    """Write a model file, its weights in this type; `load_model` makes 32 bits of them again."""
    metadata = {
        "format_version": FORMAT_VERSION,
        "features": to_values(contents.features),
        "text": to_values(contents.text),
        "model": to_values(contents.architecture),
        "tokenizer": contents.tokenizer.to_json(),
        "phones": contents.phones,
        "priors": contents.priors,
        "training": contents.training,
    }
    write_tensors(path, {name: tensor.to(weights) for name, tensor in contents.model.state_dict().items()}, metadata)


def halve(path: str | os.PathLike, output: str | os.PathLike) -> None:
    """Write a model file again with weights of 16 bits, which are half as large and good to three digits.

    Raises `ModelFileError` when the file cannot be used, or has weights too large for 16 bits.
    """
    contents = load_model(path)
    limit = torch.finfo(torch.float16).max
    if not all(tensor.abs().max() <= limit for tensor in contents.model.state_dict().values()):
        raise ModelFileError(f"{path}: has weights above {limit:g}, which 16 bits cannot hold")
    save_model(output, contents, torch.float16)


def load_model(path: str | os.PathLike) -> ModelFile:
    """Read a model file, onto the CPU and ready to recognise.

    Raises `ModelFileError` naming the file when it is missing, cut short, of another kind or from a newer version.
    """
    tensors, metadata = read_tensors(path, "model file")
    try:
        features = from_values(FeatureConfig, metadata["features"], str(path))
        text = from_values(TextConfig, metadata["text"], str(path))
        architecture = from_values(ModelConfig, metadata["model"], str(path))
        tokenizer = load_tokenizer(metadata["tokenizer"])
        with torch.device("meta"):  # where a size that is a lie takes no memory
            phones = tuple(metadata.get("phones", ()))
            model = AcousticModel(architecture, features.mels, len(tokenizer.pieces), len(phones))
        _check_shapes(model, tensors)
        priors = tuple(map(float, metadata.get("priors", ())))
        if len(priors) not in (0, len(tokenizer.pieces) + len(phones)) or not all(0 < each <= 1 for each in priors):
            raise ModelFileError(f"{len(priors)} priors that cannot be those of its tokens and phones")
        # Not copied: memory for the copy, without contents at first, would have PyTorch load its compiler (a second).
        model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, AsrError) as error:
        reason = str(error).splitlines()[0]
        raise ModelFileError(f"{path}: damaged, or not made by this program ({reason}); copy it again") from error
    if not all(torch.isfinite(tensor).all() for tensor in model.state_dict().values()):
        raise ModelFileError(f"{path}: damaged, it has weights that are no numbers; copy it again")
    training = metadata.get("training", {})
    return ModelFile(model.eval(), features, text, architecture, tokenizer, training, phones, priors)


def _check_shapes(model: AcousticModel, tensors: dict[str, Tensor]) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            raise ModelFileError(f"{name}: the shape is {found.get(name)}, but the settings ask for {wanted.get(name)}")


def write_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(tensors, {"asr": json.dumps(metadata, ensure_ascii=False)}))


def read_tensors(path: str | os.PathLike, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not Path(path).is_file():
        raise ModelFileError(f"{path}: no such {kind}; `asr train` makes model files")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["asr"])
            json.dumps(metadata, ensure_ascii=False).encode()  # no lone surrogates, which nobody could print
            version = int(metadata["format_version"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        raise ModelFileError(f"{path}: cut short, damaged or not a {kind} ({error}); copy it again") from error
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ModelFileError(f"{path}: a safetensors file, but not a {kind} of this program") from error
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: format version {version} is newer than this program knows ({FORMAT_VERSION}); upgrade asr"
        )
    return tensors, metadata
