"""asr.text.tokenizer: round trips, and errors that name characters outside the alphabet."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.errors import ModelFileError, TextError
from asr.text.config import TextConfig
from asr.text.tokenizer import (
    BLANK,
    BpeTokenizer,
    CharacterTokenizer,
    frames_needed,
    frames_needed_each,
    load_tokenizer,
    train_tokenizer,
)

SENTENCES = ["the cat sat on the mat", "the hat that the cat sat on", "a fat cat"]
# Words of the alphabet that the tokenizers below are made from.
TEXTS = st.lists(st.text("acefhmnost", min_size=1, max_size=8), max_size=6).map(" ".join)


@given(TEXTS)
def test_characters_round_trip(text):
    tokenizer = train_tokenizer(SENTENCES, TextConfig())
    tokens = tokenizer.encode(text)
    assert len(tokens) == len(text)
    assert BLANK not in tokens
    assert tokenizer.decode(tokens) == text
    assert load_tokenizer(tokenizer.to_json()).encode(text) == tokens


BPE = train_tokenizer(SENTENCES, TextConfig(units="bpe", bpe_size=20))


@given(TEXTS)
@settings(deadline=None)
def test_bpe_round_trip(text):
    tokens = BPE.encode(text)
    assert BLANK not in tokens
    assert BPE.decode(tokens) == text
    assert load_tokenizer(BPE.to_json()).encode(text) == tokens


def test_bpe_joins_what_is_frequent():
    assert len(BPE.encode("the cat")) < len("the cat")
    assert len(BPE.pieces) == 20 + 1  # and the blank


def test_bpe_size_below_the_alphabet():
    with pytest.raises(TextError, match=r"text\.bpe_size is 3, but the transcripts have 11 characters: raise it"):
        train_tokenizer(SENTENCES, TextConfig(units="bpe", bpe_size=3))


@pytest.mark.parametrize("tokenizer", [CharacterTokenizer("abc "), BPE], ids=["characters", "bpe"])
def test_unknown_characters_are_named(tokenizer):
    with pytest.raises(TextError, match=r"outside the alphabet: 'é' \(2\), U\+200B \(1\)"):
        tokenizer.encode("aéé\u200b")


def test_training_text_outside_the_given_alphabet():
    with pytest.raises(TextError, match=r"'d' \(2\); add them to text\.alphabet or map them with text\.replace"):
        train_tokenizer(["bad dab", "cab"][:1], TextConfig(alphabet="abc "))


def test_tokens_do_not_depend_on_the_order_of_texts():
    assert train_tokenizer(SENTENCES, TextConfig()).pieces == train_tokenizer(SENTENCES[::-1], TextConfig()).pieces


def test_no_text_at_all():
    with pytest.raises(TextError, match="alphabet is empty"):
        train_tokenizer([], TextConfig())


@pytest.mark.parametrize("damaged", ["", "{}", '{"units": "bpe", "model": 3}', "[]", '{"units": "characters"}'])
def test_damaged_tokenizer(damaged):
    with pytest.raises(ModelFileError, match="unreadable tokenizer"):
        load_tokenizer(damaged)


def test_mandarin_by_characters():
    tokenizer = train_tokenizer(["今天天气很好", "设定三十度"], TextConfig())
    tokens = tokenizer.encode("今天三度")
    assert len(tokens) == 4
    assert tokenizer.decode(tokens) == "今天三度"


@pytest.mark.parametrize("text, frames", [("", 0), ("cat", 3), ("book", 5), ("aaaa", 7)])
def test_frames_needed(text, frames):
    tokens = [ord(character) for character in text]
    assert frames_needed(tokens) == frames


@given(texts=st.lists(st.text("ab '", max_size=8), max_size=6))
def test_many_texts_get_the_tokens_that_each_gets(texts):
    characters, bpe = CharacterTokenizer("ab '"), BpeTokenizer.train(["ab ab", "a b' ba bab", "abba ab"], 12)
    for tokenizer in (characters, bpe):
        tokens, lengths = tokenizer.encode_all(texts)
        rows = [tokenizer.encode(text) for text in texts]
        assert tokens.tolist() == [token for row in rows for token in row]
        assert lengths.tolist() == [len(row) for row in rows]
        assert frames_needed_each(tokens, lengths).tolist() == [frames_needed(row) for row in rows]
