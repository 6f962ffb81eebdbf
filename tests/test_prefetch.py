"""asr.utils.prefetch: the same items in the same order, errors in their turn, and no thread left behind."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.utils.prefetch import OrderedResults, prefetch, prefetch_map


@given(items=st.lists(st.integers() | st.none()), count=st.integers(1, 4))
def test_items_are_the_same_and_in_order(items, count):
    assert list(prefetch(iter(items), count)) == items


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise OSError("gone")

    got = prefetch(items(), 5)
    assert [next(got), next(got)] == [1, 2]
    with pytest.raises(OSError, match="gone"):
        next(got)


def test_no_more_than_count_items_are_prefetched():
    made = []
    got = prefetch((made.append(number) or number for number in range(100)), 3)
    assert next(got) == 0
    time.sleep(0.3)
    assert len(made) <= 6
    got.close()


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    got = prefetch(iter(range(1000)), 2)
    next(got)
    got.close()
    assert threading.active_count() == before


@given(items=st.lists(st.integers() | st.none(), max_size=30), count=st.integers(1, 4))
def test_results_are_in_the_order_of_the_items(items, count):
    with ThreadPoolExecutor(3) as pool:
        assert list(prefetch_map(str, items, pool, count)) == list(map(str, items))


def test_known_results_are_ready_before_the_next_item_comes():
    allowed = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        results = OrderedResults(pool, 5)
        results.submit(lambda item: allowed.wait(10) and item, 1)
        assert list(results.ready()) == []
        allowed.set()
        pool.submit(int).result()  # the pool's one thread has finished what came before
        results.submit(str, 2)
        assert next(results.ready()) == 1
        assert list(results.remaining()) == ["2"]


def test_an_error_of_a_call_comes_in_its_turn():
    with ThreadPoolExecutor(1) as pool:
        got = prefetch_map(lambda item: 1 / item, [1, 0, 2], pool, 5)
        assert next(got) == 1.0
        with pytest.raises(ZeroDivisionError):
            next(got)


def test_more_than_count_waiting_results_block():
    with ThreadPoolExecutor(1) as pool:
        results = OrderedResults(pool, 1)
        for seconds in (0.2, 0.0):
            results.submit(time.sleep, seconds)
        assert list(results.ready())[:1] == [None]
