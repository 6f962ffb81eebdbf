"""The processes of one run, started by torchrun: one per GPU, or several on CPUs, on one machine or many."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from asr.errors import AsrError

PATIENCE = timedelta(hours=2)  # while one process works alone, for instance on computing features


class ConnectionLostError(AsrError):
    """Raised when another process of the run has ended."""


@dataclass(frozen=True)
class Group:
    """This process within the run; a group of one without torchrun."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on its machine: the index of its GPU

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """The sum of each value over all processes."""
        if self.size == 1:
            return values
        import torch.distributed

        total = torch.tensor(values, dtype=torch.float64)
        if torch.distributed.get_backend() == "nccl":
            total = total.cuda()
        torch.distributed.all_reduce(total)
        return total.tolist()

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes in the order of their ranks, returned to each of them."""
        if self.size == 1:
            return [value]
        import torch.distributed

        values: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(values, value)
        return values

    def merge(self, parts: dict[Any, Any]) -> dict[Any, Any]:
        """The dictionaries of all processes merged into one."""
        return {key: value for part in self.gather(parts) for key, value in part.items()}

    def wait(self) -> None:
        """Wait until all processes have arrived here."""
        if self.size > 1:
            import torch.distributed

            torch.distributed.barrier()


ALONE = Group()


def own_group() -> Group:
    """The group that torchrun has put this process in, which need not have been joined yet."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    return Group(*(int(os.environ[name]) for name in names)) if "WORLD_SIZE" in os.environ else ALONE


@contextlib.contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the group of processes that torchrun started (https://docs.pytorch.org/docs/stable/elastic/run.html), and
    leave it at the end. `device` is a device option: nccl connects GPUs, gloo CPUs.

    Raises `ConnectionLostError` when another process has ended.
    """
    group = own_group()
    if group.size == 1:
        yield ALONE
        return
    import torch.distributed

    cuda = device in ("auto", "cuda") and torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(group.local_rank)
    torch.distributed.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield group
    except RuntimeError as error:
        if not _is_lost_connection(error):
            raise
        raise ConnectionLostError(
            f"process {group.rank} of {group.size}: lost the connection: another process of this run has ended"
        ) from error
    finally:
        # Without the others this would wait for them until the timeout.
        with contextlib.suppress(RuntimeError):
            torch.distributed.destroy_process_group()


def _is_lost_connection(error: RuntimeError) -> bool:
    import torch.distributed

    kinds = (torch.distributed.DistBackendError, torch.distributed.DistNetworkError)
    return isinstance(error, kinds) or any(sign in str(error) for sign in ("gloo", "Connection", "NCCL"))
