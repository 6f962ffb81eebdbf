"""Chinese characters by their sounds: lexicons, phones of transcripts, and text from the decoder."""

import numpy as np
import pytest

from asr.decoding.beam import BeamDecoder
from asr.decoding.decoder import DecodedWord, Decoding, join_decodings
from asr.decoding.lexicon import Lexicon
from asr.lm.mandarin import is_chinese, readings
from asr.lm.pronunciation import make_lexicon
from asr.text.lexicon_file import read_lexicon
from asr.text.phones import Phones

pytest.importorskip("pypinyin")


@pytest.mark.parametrize(
    "texts, chinese",
    [
        (["设定二十九度", "播放 wifi"], True),
        (["說說看"], True),
        (["turn on", "七"], False),
        (["東京へ行く"], False),
        (["ไทย"], False),
        ([], False),
    ],
)
def test_chinese_is_told_from_japanese_and_others(texts, chinese):
    assert is_chinese(texts) == chinese


def test_a_phrase_decides_how_a_character_is_read():
    found = readings(["银行", "银行行长", "步行", "儿", "鱼wifi"])
    assert found["行"] == {("h", "ang", "2"): 3, ("x", "ing", "2"): 1}
    assert set(found["儿"]) == {("er", "2")} and set(found["鱼"]) == {("v", "2")}
    assert set(found) == set("银行长步儿鱼")


def test_a_lexicon_has_the_characters_of_phrases_and_the_words_between_them(tmp_path, cmudict_read_once):
    manifest = tmp_path / "train.jsonl"
    manifest.write_text('{"text": "去银行，hi！"}\n{"text": "步行"}\n', encoding="utf-8")
    made = make_lexicon([manifest], tmp_path / "lexicon.txt")
    lexicon = read_lexicon(tmp_path / "lexicon.txt")
    assert lexicon.keys() == {*"去银行步", "hi"} and made.origins["pypinyin"] == 4
    assert set(lexicon["行"]) == {("h", "ang", "2"), ("x", "ing", "2")} and ("HH", "AY") in lexicon["hi"]

    phones = Phones(lexicon)
    assert [phones.pieces[index] for index in phones.encode("去hi银")] == ["q", "v", "4", "HH", "AY", "in", "2"]
    assert phones.lacking(["去 火车站"]) == {"火": 1, "车": 1, "站": 1}


def test_characters_are_written_without_spaces():
    pieces = ["", "1", "i", "x", "ba", "B"]
    spoken = [("西", ("x", "i", "1")), ("八", ("ba", "1")), ("b", ("B",))]
    for entries, text in ((spoken, "西八b"), ([("west", spoken[0][1]), ("ba", ("ba", "1")), ("b", "B")], "west ba b")):
        decoder = BeamDecoder(pieces, lexicon=Lexicon.of_pronunciations(entries, pieces))
        frames = np.full((12, len(pieces)), -9.0, np.float32)
        frames[np.arange(12), [3, 0, 2, 0, 1, 0, 4, 0, 1, 0, 5, 0]] = 0
        emission = frames - np.logaddexp.reduce(frames, axis=1, keepdims=True)
        assert decoder.decode(emission)[0].text == text


@pytest.mark.parametrize(
    "texts, separator, joined",
    [(("设定", "二"), "", "设定二"), (("设定二",) * 2, "", "设定二设定二"), (("a", "b"), " ", "a b")],
)
def test_parts_of_a_recording_are_joined_as_the_script_is_written(texts, separator, joined):
    parts = []
    for text in texts:
        words = text.split() if text.isascii() else text
        parts.append((0, Decoding(text, tuple(DecodedWord(word, 0, 1, 1.0) for word in words))))
    assert join_decodings(parts, separator).text == joined
