"""asr.ahead: the same items in the same order, errors in their turn, and no thread left behind."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.ahead import made_ahead


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
