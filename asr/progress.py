"""Progress bars, shown on a terminal only and gone when done."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


@contextlib.contextmanager
def progress_bar(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """A progress bar on the terminal (stderr; none when that is a file): a context that gives `advance(amount)`."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn(what),
        BarColumn(),
        TextColumn("{task.percentage:.0f}%"),
        TimeRemainingColumn(),
        TextColumn("to go"),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    task = bar.add_task(what, total=total)
    with bar:
        yield lambda amount: bar.advance(task, amount)


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """The same items, with a progress bar."""
    with progress_bar(description, total) as advance:
        for item in items:
            yield item
            advance(1)
