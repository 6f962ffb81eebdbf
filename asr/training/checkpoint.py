"""The checkpoints that training resumes from."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asr.errors import ModelFileError
from asr.model.acoustic_model import AcousticModel
from asr.model.model_file import FORMAT_VERSION, HEAD, load_model, read_arrays, write_arrays
from asr.text.phones import phone_of
from asr.text.tokenizer import Tokenizer


def save_weights(path: str | os.PathLike, model: AcousticModel) -> None:
    """Write only the weights, for averaging later."""
    write_tensors(path, model.state_dict(), {"format_version": FORMAT_VERSION})


def average_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of several weight files, as a state dict."""
    states = [read_tensors(path, "weights file")[0] for path in paths]
    return {name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]}


def save_batch(path: str | os.PathLike, tensors: dict[str, Tensor], names: list[str]) -> None:
    """Write a batch's tensors for inspection, with the names of its utterances."""
    write_tensors(path, tensors, {"format_version": FORMAT_VERSION, "utterances": names})


def warm_start(model: AcousticModel, tokenizer: Tokenizer, phones: Sequence[str], path: str | os.PathLike) -> str:
    """Copy the weights of a model file into `model` where name and shape agree, those of the output layer by token and
    those of the phones by phone: `phones` are the model's.

    Returns a message with the share that was copied. Raises `ModelFileError` when nothing can be.
    """
    file = load_model(path)
    theirs, ours = {name: torch.from_numpy(array) for name, array in file.weights.items()}, model.state_dict()
    taken = {
        name: theirs[name] for name, tensor in ours.items() if getattr(theirs.get(name), "shape", 0) == tensor.shape
    }
    rows = [
        (ours_at, file.tokenizer.pieces.index(piece))
        for ours_at, piece in enumerate(tokenizer.pieces)
        if piece in file.tokenizer.pieces
    ]
    for name in HEAD:
        taken.pop(name, None)
        if rows and theirs[name].shape[1:] == ours[name].shape[1:]:
            taken[name] = ours[name].clone()
            for to, source in rows:
                taken[name][to] = theirs[name][source]
    if set(map(phone_of, phones)) == set(map(phone_of, file.phones)):
        split = _phone_weights(theirs, file.phones, phones)
        taken |= {name: tensor for name, tensor in split.items() if tensor.shape == ours[name].shape}
    if not set(taken) - set(HEAD):
        raise ModelFileError(f"{path}: no layer has the shape that the recipe's [model] section requires")
    model.load_state_dict(ours | taken)
    values, total = sum(tensor.numel() for tensor in taken.values()), model.parameter_count()
    return f"starting from {path}: {values / total:.0%} of the weights, {len(rows)} of {len(tokenizer.pieces)} tokens"


def _phone_weights(theirs: dict[str, Tensor], their_phones: Sequence[str], phones: Sequence[str]) -> dict[str, Tensor]:
    """The weights of the phones' output and of its feedback, if there are any. A phone in a context that they lack
    begins as the phone elsewhere, and shares its probability."""
    index = {phone: row for row, phone in enumerate(their_phones)}
    rows = torch.tensor([index.get(phone, index[phone_of(phone)]) for phone in phones], dtype=torch.long)
    sharing = torch.bincount(rows)[rows]
    taken = {
        "phone_head.weight": lambda tensor: tensor[rows],
        "phone_head.bias": lambda tensor: tensor[rows] - sharing.log(),
        "phone_feedback.weight": lambda tensor: tensor[:, rows],
    }
    return {name: take(theirs[name]) for name, take in taken.items() if name in theirs}


def save_state(
    path: str | os.PathLike,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    progress: dict[str, Any],
) -> None:
    """Write everything that an exact resumption needs: weights, their moving average if there is one, optimizer state
    and the caller's progress."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    write_tensors(path, tensors, {"format_version": FORMAT_VERSION, "progress": progress})


def load_state(
    path: str | os.PathLike, model: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor]
) -> dict[str, Any]:
    """Restore weights, their average and the optimizer as `save_state` saved them; returns the progress."""
    tensors, metadata = read_tensors(path, "checkpoint")
    model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
    for name, tensor in average.items():
        tensor.copy_(tensors[f"average.{name}"])
    state = optimizer.state_dict()
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, moment = name.split(".")
            state["state"].setdefault(int(index), {})[moment] = tensor
    optimizer.load_state_dict(state)
    return metadata["progress"]


def read_progress(path: str | os.PathLike) -> dict[str, Any]:
    """The progress that `save_state` saved."""
    return read_tensors(path, "checkpoint")[1]["progress"]


def write_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write tensors of any device with this program's metadata."""
    write_arrays(path, {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}, metadata)


def read_tensors(path: str | os.PathLike, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and metadata that `write_tensors` wrote; raises `ModelFileError` as `read_arrays` does."""
    arrays, metadata = read_arrays(path, kind)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, metadata
