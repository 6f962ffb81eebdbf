"""Progress bars, shown on a terminal only and gone when done."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar up to `total`; gives the function that moves it by an amount."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        yield lambda amount: progress.advance(task, amount)


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """The same items, with a progress bar."""
    with bar(description, total) as advance:
        for item in items:
            yield item
            advance(1)
