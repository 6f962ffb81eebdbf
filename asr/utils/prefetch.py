"""Work done in background threads before its result is needed."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")


class OrderedResults(Generic[T]):
    """Results of calls in a pool, in the order in which the calls were submitted.

    At most `count` results wait for an earlier one: beyond that, `ready` blocks.
    """

    def __init__(self, pool: Executor, count: int):
        self._pool, self._count = pool, count
        self._futures: deque[Future[T]] = deque()

    def submit(self, function: Callable[[S], T], item: S) -> None:
        """Start computing `function(item)`."""
        self._futures.append(self._pool.submit(function, item))

    def ready(self) -> Iterator[T]:
        """The results that are known now. Raises what a call raised, in its turn."""
        while self._futures and (self._futures[0].done() or len(self._futures) > self._count):
            yield self._futures.popleft().result()

    def remaining(self) -> Iterator[T]:
        """All results, waiting for each. Raises what a call raised, in its turn."""
        while self._futures:
            yield self._futures.popleft().result()


def prefetch_map(function: Callable[[S], T], items: Iterable[S], pool: Executor, count: int) -> Iterator[T]:
    """`map(function, items)` computed by the pool, with up to `count` results waiting for an earlier one."""
    results: OrderedResults[T] = OrderedResults(pool, count)
    for item in items:
        results.submit(function, item)
        yield from results.ready()
    yield from results.remaining()


def prefetch(items: Iterable[T], count: int) -> Iterator[T]:
    """The same items, produced by a thread up to `count` in advance. Raises what `items` raises, in its turn."""
    produced: queue.Queue = queue.Queue(count)
    stopped = threading.Event()

    def put(item: tuple) -> None:
        while not stopped.is_set():
            try:
                return produced.put(item, timeout=0.1)
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
            item, error = produced.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        thread.join()
