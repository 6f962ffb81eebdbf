"""asr.text.normalizer: what the normalizers keep, join and drop; tags in training text."""

import doctest
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asr.text.normalizer
from asr.text.config import TextConfig
from asr.text.normalize_all import normalize_all
from asr.text.normalizer import APOSTROPHES, basic, find_tags, nfc, normalize


def test_examples_in_the_docstrings():
    assert doctest.testmod(asr.text.normalizer).failed == 0


@pytest.mark.parametrize(
    "text, expected",
    [
        ("DON'T stop!", "don't stop"),
        ("'tis the dogs' bone", "tis the dogs bone"),
        ("rock ’n’ roll", "rock n roll"),
        ("it’s", "it's"),
        ("well-known, 3.5 € – twice…", "well known 3 5 twice"),
        ("tab\tand\nline", "tab and line"),
        ("Straße ÉCOLE ΟΔΟΣ", "straße école οδος"),
        ("今天，天气很好。", "今天 天气很好"),
        ("नमस्ते", "नमस्ते"),
        ("snake'_case'", "snake case"),
        ("?!", ""),
    ],
)
def test_basic(text, expected):
    assert basic(text) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("\u200bzero width\ufeff", "zero width"),
        ("zero\u200bwidth", "zero width"),  # the one that separates words
        ("می\u200cخواهم", "میخواهم"),
        ("ශ\u0dca\u200dරී", "ශ\u0dcaරී"),
        ("അവന്\u200d", "അവന്"),
        ("co\u00adoperate", "cooperate"),
        ("foo\u2060bar", "foobar"),
        ("a\ufeffb", "ab"),
        ("\u202bשלום\u202c \u200fעולם\u200e", "שלום עולם"),
        ("fo\u034fo", "foo"),
        ("don\u200d't", "don't"),
        ("i \u2764\ufe0f you", "i you"),
        ("1\ufe0f\u20e3 and #\ufe0f\u20e3", "1 and"),
        ("\U0001f469\u200d\U0001f469\u200d\U0001f467 family \U0001f44d\U0001f3fd", "family"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", ""),
        ("葛\U000e0100", "葛"),
        ("~\u0303 a", "a"),  # an accent on a symbol
        ("\u0301", ""),
    ],
)
def test_basic_drops_invisible_characters(text, expected):
    assert basic(text) == expected


@pytest.mark.parametrize("apostrophe", [*"'’‘ʼ＇′`´", *APOSTROPHES])
def test_all_apostrophes_are_one(apostrophe):
    assert basic(f"Don{apostrophe}t {apostrophe}stop{apostrophe}") == "don't stop"


@pytest.mark.parametrize(
    "text", ["İSTANBUL", "İSTANBUL".lower(), "I\u0307STANBUL", unicodedata.normalize("NFD", "İstanbul")]
)
def test_dotted_capital_i(text):
    assert basic(text) == "istanbul"


@pytest.mark.parametrize("normalizer", [nfc, basic])
@given(text=st.text() | st.text("aiÉİ'’_ -\u0301\u0307\u0323\u200b\u200d\ufe0f\u20e3\u2764\u0308"))
def test_normalizing_twice_changes_nothing(normalizer, text):
    assert normalizer(normalizer(text)) == normalizer(text)


@given(st.text() | st.text("aiÉİ'’_ -\u0301\u0307\u0323\u200b\u200d\ufe0f\u20e3\u2764\u0308"))
def test_every_word_has_a_letter_or_digit(text):
    assert all(any(character.isalnum() for character in word) for word in basic(text).split())


def test_nfc_keeps_case_and_punctuation():
    assert nfc("Cafe\u0301,  s'il vous plaît!") == "Café, s'il vous plaît!"


def test_replacements_come_after_normalising():
    config = TextConfig(normalizer="nfc", replace={"é": "e", "&": " and "})
    assert normalize("Cafe\u0301 & bar", config) == "Cafe and bar"


@pytest.mark.parametrize(
    "text, tags",
    [
        ("<s> yes </s>", ["<s>", "</s>"]),
        ("a <UNK> [Noise] <spoken-noise>", ["<UNK>", "[Noise]", "<spoken-noise>"]),
        ("i < you and you > me", []),
        ("[1] and [...]", []),
        ("no tags", []),
    ],
)
def test_tags(text, tags):
    assert find_tags(text, TextConfig()) == tags
    assert find_tags(text, TextConfig(normalizer="nfc")) == tags


def test_tags_that_are_replaced_are_none():
    assert find_tags("a [noise]", TextConfig(normalizer="nfc", replace={"[noise]": ""})) == []


@given(st.text(st.characters(max_codepoint=127)))
def test_basic_treats_ascii_as_any_other_text(text):
    assert basic(text) == asr.text.normalizer._basic(text)


@given(
    st.lists(st.text(st.sampled_from("abZ9'`- .,\t\né")) | st.text(st.characters(max_codepoint=127))),
    st.sampled_from([TextConfig(), TextConfig(normalizer="nfc"), TextConfig(replace={"a": "b"})]),
)
def test_many_texts_are_normalized_as_one_is(texts, config):
    assert normalize_all(texts, config) == [normalize(text, config) for text in texts]
