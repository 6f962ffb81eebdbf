"""Spoken numbers written in digits."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from timed_words import timed

from asr.punctuation.numbers import find_numbers
from asr.punctuation.writer import written

NUMBERS = [
    ("he owed twenty three pounds", "he owed 23 pounds"),
    ("the twenty first of may nineteen eighty four", "the 21st of may 1984"),
    ("in nineteen oh five and twenty twenty three", "in 1905 and 2023"),
    ("in the nineteen twenties and the thirties", "in the 1920s and the thirties"),
    ("two thousand and one", "2001"),
    ("at seven thirty or at seven oh five", "at 7:30 or at 7:05"),
    ("three point one four", "3.14"),
    ("call five five five one two three four", "call 5551234"),
    ("double oh no agent zero zero seven", "double oh no agent 007"),
    ("two hundred and fifty thousand dollars", "$250,000"),
    ("five dollars and twenty cents", "$5.20"),
    ("twenty five cents", "25 cents"),
    ("fifty percent or three per cent", "50% or 3%"),
    ("the hundred and first", "the 101st"),
    ("one or two of the first three", "one or two of the first three"),
    ("a hundred men and a hundred and fifty women", "a hundred men and 150 women"),
    ("oh dear", "oh dear"),
    ("", ""),
]


@pytest.mark.parametrize(("spoken", "expected"), NUMBERS)
def test_numbers(spoken, expected):
    pytest.importorskip("text_to_num")
    assert written(timed(spoken), None, digits=True).text == expected


def test_a_number_spans_its_words():
    pytest.importorskip("text_to_num")
    plain = timed("in nineteen eighty four he")
    found = written(plain, None, digits=True)
    assert [word.text for word in found.words] == ["in", "1984", "he"]
    year = found.words[1]
    assert (year.start, year.end) == (plain.words[1].start, plain.words[3].end)
    assert year.confidence == min(word.confidence for word in plain.words[1:4])
    assert found.plain_words == plain.words


def test_a_number_that_is_all_of_a_recording_is_known_as_spoken():
    pytest.importorskip("text_to_num")
    found = written(timed("two hundred and five"), None, digits=True)
    assert (found.text, found.plain_text) == ("205", "two hundred and five")


def test_a_pause_parts_numbers():
    pytest.importorskip("text_to_num")
    plain = timed("twenty three")
    apart = replace(plain, words=(plain.words[0], replace(plain.words[1], start=2.0, end=2.3)))
    assert (written(plain, None, True).text, written(apart, None, True).text) == ("23", "20 three")


@given(
    st.lists(
        st.sampled_from(
            [
                "oh",
                "zero",
                "one",
                "five",
                "twenty",
                "eleven",
                "first",
                "hundred",
                "thousand",
                "point",
                "and",
                "a",
                "dollars",
                "cents",
            ]
        )
    )
)
def test_numbers_never_overlap_or_lose_words(words):
    pytest.importorskip("text_to_num")
    plain = timed(" ".join(words)).words
    ends = [0]
    for number in find_numbers(plain):
        assert ends[-1] <= number.start < number.end <= len(words) and number.text
        ends.append(number.end)
