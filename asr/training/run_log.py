"""The logs of a training run: metrics.jsonl, TensorBoard, and lines and a progress bar on the terminal."""

import contextlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

from asr.utils.files import write_atomically
from asr.utils.progress import progress_bar


class RunLog:
    """Records of one run. A resumed run continues the same files from the step of its checkpoint."""

    def __init__(self, folder: Path, step: int, epochs: int, total_steps: int):
        from torch.utils.tensorboard import SummaryWriter

        self._path = folder / "metrics.jsonl"
        self._forget_after(step, epochs)
        self._stream = self._path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        self._bar, self._step, self._total_steps = contextlib.ExitStack(), step, total_steps

    def __enter__(self) -> "RunLog":
        self._advance = self._bar.enter_context(progress_bar("training", self._total_steps, done=self._step))
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.close()
        self._board.close()
        self._stream.close()

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, file=sys.stderr)

    def record(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Append a record to metrics.jsonl and its numbers to TensorBoard."""
        self._stream.write(json.dumps({"kind": kind, "step": step, **values}, ensure_ascii=False) + "\n")
        self._stream.flush()
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def progress(self, step: int) -> None:
        """Move the progress bar."""
        self._advance(step - self._step)
        self._step = step

    def rewind(self, step: int, epochs: int) -> None:
        """Drop the records after this step and this number of epochs, which will be repeated."""
        self.progress(step)
        self._stream.close()
        self._forget_after(step, epochs)
        self._stream = self._path.open("a", encoding="utf-8")

    def _forget_after(self, step: int, epochs: int) -> None:
        """Drop records written after the last checkpoint, whose steps will be repeated."""
        if self._path.exists():
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
            records = [(line, json.loads(line)) for line in lines if line.endswith("\n")]
            # The last checkpoint may be of an epoch's last step, before the epoch's own record.
            kept = [line for line, each in records if each["step"] <= step and each.get("epoch", 0) <= epochs]
            write_atomically(self._path, "".join(kept))


class NoLog:
    """The log of processes that do not lead: nothing."""

    def __enter__(self) -> "NoLog":
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def say(self, line: str) -> None:
        """Nothing."""

    def record(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Nothing."""

    def progress(self, step: int) -> None:
        """Nothing."""

    def rewind(self, step: int, epochs: int) -> None:
        """Nothing."""


class Pace:
    """Training speed, and the share of time spent waiting for data."""

    def __init__(self):
        self._waiting, self._working, self._audio = 0.0, 0.0, 0.0
        self._mark = time.monotonic()

    def wait(self) -> None:
        """Start waiting for a batch."""
        self._mark = time.monotonic()

    def work(self) -> None:
        """The batch has arrived."""
        now = time.monotonic()
        self._waiting, self._mark = self._waiting + now - self._mark, now

    def done(self, audio_seconds: float) -> float:
        """The step is over; returns its seconds without the waiting."""
        seconds = time.monotonic() - self._mark
        self._working, self._audio = self._working + seconds, self._audio + audio_seconds
        return seconds

    def values(self) -> dict[str, float]:
        """Averages since the start, for the log."""
        total = self._waiting + self._working
        return {
            "audio_seconds_per_second": self._audio / max(1e-9, total),
            "waiting_share": self._waiting / max(1e-9, total),
        }


def clock(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def environment() -> dict[str, Any]:
    """Versions and hardware, which results depend on as much as on the recipe; no host names or paths."""
    import asr

    return {
        "asr": asr.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
