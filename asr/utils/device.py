"""Where to compute, and in which arithmetic."""

import contextlib
import ctypes
import resource
import sys

import torch


def choose_device(name: str) -> torch.device:
    """'auto' is a GPU if there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> tuple[torch.dtype, str]:
    """The type that the network computes in, and the reason for it, to be printed.

    bfloat16 pays only where the hardware multiplies it natively; elsewhere it is emulated and slower than float32.
    """
    if name != "auto":
        return getattr(torch, name), "as the recipe asks"
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
        return torch.float32, "this processor has no bfloat16 products, without which bfloat16 is slower"
    return torch.float32, f"bfloat16 on {device.type} has not been shown to help"


def keep_memory() -> None:
    """From now on this process keeps memory that it frees, for its next use of it.

    glibc gives large blocks back to the system at once, which fills them with zeros, page by page, when it hands them
    out again. Where the C library is another one, nothing is changed.
    """
    with contextlib.suppress(AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(-4, 0)  # M_MMAP_MAX: no block has a mapping of its own
        set_option(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap does not shrink


def peak_gigabytes(device: torch.device) -> float:
    """The most memory that this process has used on the device so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    # Kilobytes, but bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
