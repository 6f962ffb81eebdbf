"""Work done ahead of the one who needs it."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def mapped_ahead(function: Callable[[S], T], items: Iterable[S | None], pool: Executor, count: int) -> Iterator[T]:
    """The function of each item, computed by the pool, in the items' order; up to `count` results wait for an earlier
    one. What is known is given when the next item comes, or a None, which is no item."""
    waiting: deque = deque()
    for item in items:
        if item is not None:
            waiting.append(pool.submit(function, item))
        while waiting and (waiting[0].done() or len(waiting) > count):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def made_ahead(items: Iterable[T], count: int) -> Iterator[T]:
    """The same items, made by a thread up to `count` ahead. What `items` raises is raised here, in its turn."""
    made: queue.Queue = queue.Queue(count)
    stopped = threading.Event()

    def put(item: tuple) -> None:
        while not stopped.is_set():
            try:
                return made.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stopped.is_set():
                    return
        except BaseException as error:
            put((None, error))
        else:
            put((None, StopIteration()))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        thread.join()
