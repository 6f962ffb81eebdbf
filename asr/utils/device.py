"""Choice of device and number format for training, and memory use."""

import contextlib
import ctypes
import resource
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from asr.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The device of this name; 'auto' is a GPU if there is one, else the CPU. Raises `ConfigError` for a GPU that
    PyTorch does not find."""
    has: dict[str, Callable[[], bool]]
    has = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available, "cpu": lambda: True}
    if name == "auto":
        name = next(each for each in has if has[each]())
    elif not has[name]():
        raise ConfigError(f"device '{name}': PyTorch finds none on this machine; use 'auto' or 'cpu'")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> tuple[torch.dtype, str]:
    """The number format of the network's computations, and the reason for the choice.

    bfloat16 pays off only where the hardware multiplies it natively; emulated, it is slower than float32.
    """
    if name != "auto":
        return getattr(torch, name), "set in the recipe"
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16, "this GPU multiplies bfloat16 natively"
        return torch.float32, "this GPU has no native bfloat16"
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        if capabilities.get("amx_bf16"):
            return torch.bfloat16, "this processor multiplies bfloat16 in AMX tiles"
        if capabilities.get("avx512_bf16"):
            return torch.bfloat16, "this processor multiplies bfloat16 in AVX-512 registers"
        return torch.float32, "this processor has no native bfloat16, which is slower when emulated"
    return torch.float32, f"bfloat16 on {device.type} has not been shown to help"


def mixed_precision(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """A context in which networks compute in this number format."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def in_float32(network: nn.Module, x: torch.Tensor, *state: Any) -> Any:
    """`network(x, *state)`, on a GPU in float32: there mixed precision computes recurrent networks in float16, whose
    range is too small for gradients, and their time is that of the recurrence, not of the arithmetic."""
    if not x.is_cuda:
        return network(x, *state)
    with torch.autocast("cuda", enabled=False):
        return network(x.float(), *state)


def keep_memory() -> None:
    """Let this process keep freed memory for reuse.

    By default glibc returns large blocks to the system at once, which has to clear each page when it is allocated
    again. Does nothing with another C library.
    """
    with contextlib.suppress(AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(-4, 0)  # M_MMAP_MAX: no block gets its own mapping
        set_option(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap does not shrink


def peak_gigabytes(device: torch.device) -> float:
    """Peak memory use of this process on the device, in gigabytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    # ru_maxrss is in kilobytes, but in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
