"""Text for language models: any kind of file and line, normalised, with tags left out; and text that cannot be used."""

import gzip
import json
import lzma

import numpy as np
import pytest
from test_lm_training import SPECIAL, corpus, trained_text

from asr.errors import AsrError, LanguageModelError
from asr.lm.config import LmConfig, LmTextConfig
from asr.lm.corpus import TextReader
from asr.lm.ngram import NgramModel
from asr.lm.perplexity import measure_perplexity
from asr.lm.training import train_model
from asr.utils import compressed_text as streams


def test_short_lines_and_long_words(text_file):
    long = "x" * 100_000
    trained = train_model([text_file(*"ab" * 5000, long)], LmConfig(order=2))
    assert (trained.words, trained.sentences) == (10_001, 10_001)
    assert set(trained.trie.words) == {*SPECIAL, "a", "b", long}


@pytest.mark.parametrize("name", ["text.txt.gz", "text.txt.xz", "text.jsonl", "text.jsonl.gz"])
def test_any_kind_of_text_gives_the_same_model(text_file, tmp_path, monkeypatch, name):
    lines = corpus(50, 200)
    plain = text_file(*lines)
    content = plain.read_bytes()
    if ".jsonl" in name:
        content = "".join(json.dumps({"text": line, "duration": 1}) + "\n" for line in lines).encode()
    path = tmp_path / name
    compress = {".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)
    path.write_bytes(compress(content))
    expected = trained_text(plain)
    monkeypatch.setattr(streams, "BLOCK", 100)
    assert trained_text(path) == expected == trained_text(plain)


def test_line_ends_empty_lines_and_a_missing_last_line_end(tmp_path, text_file):
    expected = trained_text(text_file("a b", "c"))
    for content in (b"a b\r\nc\r\n", b"\n\na  b\t\n \n -- \nc", b"\xef\xbb\xbfa b\nc\n"):
        (tmp_path / "other.txt").write_bytes(content)
        assert trained_text(tmp_path / "other.txt") == expected


def test_words_are_normalised_as_for_the_recogniser(text_file):
    from asr.text.normalizer import basic, nfc

    lines = ["Don't  STOP -- 'now', Mr. O’Neill!", "x_y a\u00a0b Cafe\u0301", "l'été 5,000 ΣΑΣ rock-'n'-roll", "¿que?"]
    for name, normalizer in (("basic", basic), ("nfc", nfc), ("none", str)):
        reader = TextReader([text_file(*lines)], name)
        ids = np.concatenate(list(reader))
        assert [reader.words[id] for id in ids if id > 2] == [w for line in lines for w in normalizer(line).split()]


@pytest.mark.parametrize("characters", [False, True])
def test_tags_are_dropped_and_counted(text_file, characters):
    tagged = text_file("<s> one [noise] two </s>", "<unk>", "[noise]three, <unk>", "2 < 3 [1]")
    plain = text_file("one two", "three", "2 3 1", name="plain.txt")
    read = []
    for path in (tagged, plain):
        reader = TextReader([path], characters=characters)
        read.append(([word for ids in reader for word in ids.tolist()], reader.words, reader.tags))
    assert read[0][:2] == read[1][:2]
    assert [tags for *_, tags in read] == [6, 0]
    config = LmConfig(order=2, characters=characters)
    trained = train_model([tagged], config)
    assert any("6 tags" in note for note in trained.notes)
    measured = measure_perplexity(NgramModel.from_trie(trained.trie), [tagged], LmTextConfig(characters=characters))
    assert measured.tags == 6 and "6 tags" in measured.to_text()


def test_characters(text_file):
    trained = train_model([text_file("今日は 晴れ", "今日は、雨")], LmConfig(order=2, characters=True))
    assert set(trained.trie.words) == {*SPECIAL, *"今日は晴れ雨"}
    assert trained.to_text().splitlines()[:2] == ["text        9 characters in 2 sentences", "vocabulary  6 characters"]
    model = NgramModel.from_trie(trained.trie)
    measured = measure_perplexity(model, [text_file("今日は雪", name="new.txt")], LmTextConfig(characters=True))
    assert (measured.predicted, measured.unknown) == (5, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no words in it"),
        (b"\n -- \n", "no words in it"),
        (b"a\nb\ncaf\xe9 c\n", ":3: not UTF-8"),
        ("a\n".encode("utf-16"), "UTF-16"),
        (b"a\nb <s> c\n", ":2: <s> and </s> cannot be words"),
        (gzip.compress(b"a b\n" * 1000, mtime=0)[:-20], "cut short or damaged"),
        (lzma.compress(b"a b\n" * 1000)[:-20], "cut short or damaged"),
        (None, "no such file"),
    ],
)
@pytest.mark.parametrize("characters", [False, True])
def test_text_that_cannot_be_used(tmp_path, content, message, characters):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    if characters and content and b"<s>" in content:
        return  # as characters, these are words like others
    with pytest.raises(LanguageModelError, match=message) as caught:
        train_model(
            [path], LmConfig(characters=characters, normalizer="none" if b"<s>" in (content or b"") else "basic")
        )
    assert str(path) in str(caught.value)


def test_line_of_a_manifest_without_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"txt": "b"}\n')
    with pytest.raises(AsrError, match=r"a\.jsonl:2: .*text"):
        train_model([tmp_path / "a.jsonl"], LmConfig())
