"""Progress bars, shown only on a terminal and removed when done."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


@contextlib.contextmanager
def progress_bar(what: str, total: float, audio: bool = False, done: int = 0) -> Iterator[Callable[..., None]]:
    """A context with a progress bar on stderr, if that is a terminal, that gives the function `advance(amount)`, or
    `advance(amount, note)` with a text to show.

    `audio`: amounts are seconds of audio, and the bar shows the speed too. `done`: the amount done before.
    """
    if not sys.stderr.isatty():
        yield lambda amount, note="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn(what),
        BarColumn(),
        TextColumn("{task.percentage:.0f}%{task.fields[note]}"),
        TimeRemainingColumn(),
        TextColumn("to go"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # else rich would take the results from their file
    )
    task = bar.add_task(what, completed=done, total=total, note="")
    started = time.monotonic()

    def advance(amount: float, note: str = "") -> None:
        bar.advance(task, amount)
        if audio:
            pace = bar.tasks[0].completed / max(1e-9, time.monotonic() - started)
            note = f"{pace:.0f} times real time"
        bar.update(task, note=f"  {note} " if note else "")

    with bar:
        yield advance


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """The same items, with a progress bar that counts them."""
    with progress_bar(description, total) as advance:
        for item in items:
            yield item
            advance(1)
