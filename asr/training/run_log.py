"""What a training run tells: metrics.jsonl, TensorBoard, and lines and a progress bar on the terminal."""

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from asr.utils.files import write_atomically


class RunLog:
    """Records of one run. A resumed run continues the same files from the step of its checkpoint."""

    def __init__(self, folder: Path, step: int, epochs: int, total_steps: int):
        from torch.utils.tensorboard import SummaryWriter

        self._path = folder / "metrics.jsonl"
        self._forget_after(step, epochs)
        self._stream = self._path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        self.console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps  {task.fields[eta]} to go"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("training", completed=step, total=total_steps, eta="?")
        self._start, self._first_step, self._total = time.monotonic(), step, total_steps

    def __enter__(self) -> "RunLog":
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()
        self._board.close()
        self._stream.close()

    def say(self, line: str) -> None:
        """A line for the person who watches."""
        self.console.print(line, markup=False, soft_wrap=True)

    def record(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """A line of metrics.jsonl; its numbers also go to TensorBoard."""
        self._stream.write(json.dumps({"kind": kind, "step": step, **values}, ensure_ascii=False) + "\n")
        self._stream.flush()
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def progress(self, step: int, description: str) -> None:
        """Move the bar. The time to go assumes the average pace of this run so far, dev measurements included."""
        pace = (time.monotonic() - self._start) / max(1, step - self._first_step)
        eta = clock(pace * (self._total - step)) if step > self._first_step else "?"
        self._bar.update(self._task, completed=step, description=description, eta=eta)

    def rewind(self, step: int, epochs: int) -> None:
        """Drop the records of steps after this one, and of epochs after so many: they will be done again."""
        self._stream.close()
        self._forget_after(step, epochs)
        self._stream = self._path.open("a", encoding="utf-8")

    def _forget_after(self, step: int, epochs: int) -> None:
        """Drop records that a crashed run wrote after its last checkpoint: their steps will be done again."""
        if self._path.exists():
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
            records = [(line, json.loads(line)) for line in lines if line.endswith("\n")]
            # The last checkpoint may be of an epoch's last step, before the epoch was measured and its record written.
            kept = [line for line, each in records if each["step"] <= step and each.get("epoch", 0) <= epochs]
            write_atomically(self._path, "".join(kept))


class NoLog:
    """What the processes of a run tell that do not lead it: nothing."""

    def __enter__(self) -> "NoLog":
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def say(self, line: str) -> None:
        """Nothing."""

    def record(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Nothing."""

    def progress(self, step: int, description: str) -> None:
        """Nothing."""

    def rewind(self, step: int, epochs: int) -> None:
        """Nothing."""


class Pace:
    """How fast training goes, and how much of the time it waits for data."""

    def __init__(self):
        self._waiting, self._working, self._audio = 0.0, 0.0, 0.0
        self._mark = time.monotonic()

    def wait(self) -> None:
        """From here on the next batch is waited for."""
        self._mark = time.monotonic()

    def work(self) -> None:
        """It is there."""
        now = time.monotonic()
        self._waiting, self._mark = self._waiting + now - self._mark, now

    def done(self, audio_seconds: float) -> float:
        """It has been learned from; returns the seconds of work."""
        seconds = time.monotonic() - self._mark
        self._working, self._audio = self._working + seconds, self._audio + audio_seconds
        return seconds

    def values(self) -> dict[str, float]:
        """The averages since the beginning, for the log."""
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
    """What a figure depends on besides the recipe: versions and the kind of machine, no names or paths."""
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
