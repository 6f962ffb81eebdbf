"""asr.utils.prefetch: the same items in the same order, errors in their turn, and no thread left behind."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.utils.prefetch import made_ahead, mapped_ahead


@given(items=st.lists(st.integers() | st.none()), count=st.integers(1, 4))
def test_items_are_the_same_and_in_order(items, count):
    assert list(made_ahead(iter(items), count)) == items


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise OSError("gone")

    got = made_ahead(items(), 5)
    assert [next(got), next(got)] == [1, 2]
    with pytest.raises(OSError, match="gone"):
        next(got)


def test_not_more_than_so_many_are_made_ahead():
    made = []
    got = made_ahead((made.append(number) or number for number in range(100)), 3)
    assert next(got) == 0
    time.sleep(0.3)
    assert len(made) <= 6
    got.close()


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    got = made_ahead(iter(range(1000)), 2)
    next(got)
    got.close()
    assert threading.active_count() == before


@given(items=st.lists(st.integers() | st.none(), max_size=30), count=st.integers(1, 4))
def test_results_are_in_the_order_of_the_items(items, count):
    with ThreadPoolExecutor(3) as pool:
        assert list(mapped_ahead(str, items, pool, count)) == [str(item) for item in items if item is not None]


def test_none_gives_what_is_known_and_an_error_comes_in_its_turn():
    asked, allowed = [], threading.Event()

    def items():
        yield 1
        asked.append("more")
        allowed.set()
        time.sleep(0.2)  # the first result is known by then
        yield None
        asked.append("too much")
        yield 0

    with ThreadPoolExecutor(1) as pool:
        got = mapped_ahead(lambda item: allowed.wait(10) and 1 / item, items(), pool, 5)
        assert next(got) == 1.0 and asked == ["more"]
        with pytest.raises(ZeroDivisionError):
            next(got)
