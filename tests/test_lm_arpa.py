"""ARPA files: those of any tool are read, errors name the line, and other tools can read what is written."""

import gzip
import lzma
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.errors import LanguageModelError
from asr.lm.arpa import read_arpa, read_counts, write_arpa
from asr.lm.ngram import NgramModel
from asr.lm.trie import Trie, build_trie

LN10 = math.log(10)

#: Like what pruning leaves: 'b a' and 'c b' are not there though they end trigrams, and 'b' has no continuation.
ARPA = """\\data\\
ngram 1=6
ngram 2=5
ngram 3=3

\\1-grams:
-1.2041\t<unk>\t0
-99\t<s>\t-0.30103
-0.60206\t</s>
-0.69897\ta\t-0.2552725
-0.90309\tb\t-0.1461280
-0.8\tcafé\t-0.0705811

\\2-grams:
-0.3979\t<s> a\t-0.1760913
-0.5228\ta b\t-0.09691
-0.4437\ta café\t-0.2218488
-0.2218\tcafé </s>
-0.6021\tcafé a\t-0.05

\\3-grams:
-0.1549\t<s> a b
-0.3010\ta café </s>
-0.4559\tcafé a b

\\end\\
"""

#: log10 P and n-gram order from KenLM's Python module (`Model.full_scores`) for the file above.
KENLM = {
    "a b": [(-0.3979, 2), (-0.1549, 3), (-0.8451, 1)],
    "a café a b a": [(-0.3979, 2), (-0.61979, 2), (-0.82395, 2), (-0.4559, 3), (-0.94201, 1), (-0.85733, 1)],
    "b dog café": [(-1.20412, 1), (-1.35023, 1), (-0.8, 1), (-0.2218, 2)],
    "café café a café": [(-1.10103, 1), (-0.87058, 1), (-0.6021, 2), (-0.4937, 2), (-0.301, 3)],
    "": [(-0.90309, 1)],
}


@pytest.fixture
def arpa(tmp_path):
    def write(content=ARPA, name="lm.arpa"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def scores(path, sentence):
    """log10 P and order of each word and the sentence's end."""
    return [(logp / LN10, order) for logp, order in NgramModel.from_trie(read_arpa(path)).score(sentence.split())]


def assert_equal(one: Trie, other: Trie, tolerance=1e-6):
    assert (one.words, one.starts) == (other.words, other.starts)
    for name in ("word", "children"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    for name in ("logp", "backoff"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=tolerance)


@pytest.mark.parametrize("sentence", KENLM)
def test_scores_are_those_of_kenlm(arpa, sentence):
    found = scores(arpa(), sentence)
    assert [order for _, order in found] == [order for _, order in KENLM[sentence]]
    assert [logp for logp, _ in found] == pytest.approx([logp for logp, _ in KENLM[sentence]], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), min_size=1, max_size=30), st.integers(2, 4))
def test_scores_are_those_of_kenlm_for_any_text(tmp_path_factory, sentences, order):
    kenlm = pytest.importorskip("kenlm")
    from asr.lm.config import LmConfig
    from asr.lm.training import train_model

    folder = tmp_path_factory.mktemp("lm")
    lines = [" ".join(f"w{id}" for id in sentence) for sentence in sentences]
    (folder / "text").write_text("\n".join(lines))
    train_model([folder / "text"], LmConfig(order=order, prune=(0, 0, 1)[:order]), folder / "lm.arpa")
    peer = kenlm.Model(str(folder / "lm.arpa"))
    for line in [*lines, "w1 w9 w2 w3", "w5 w4 w3 w2 w1 w0"]:
        expected = [logp for logp, _, _ in peer.full_scores(line)]
        assert [logp for logp, _ in scores(folder / "lm.arpa", line)] == pytest.approx(expected, abs=1e-5)


VARIANTS = {
    "CRLF": ARPA.replace("\n", "\r\n"),
    "spaces": ARPA.replace("\t", "  "),
    "no back-off weights of 1": ARPA.replace("<unk>\t0", "<unk>"),
    "SRILM's blank first line": "\n" + ARPA,
    "tabs between words": ARPA.replace(" a", "\ta"),
    "byte order mark": "\ufeff" + ARPA,
    "no last line end": ARPA.rstrip(),
    "exponents": ARPA.replace("-0.05", "-5e-2").replace("-99", "-9.9E+01"),
    "-inf": ARPA.replace("-99", "-inf"),
    "-Infinity": ARPA.replace("-99", "-Infinity"),
    "blanks around =": ARPA.replace("=", "\t= \t"),
    "text before the header": "Written by a tool.\n\nData begins at \\data\\:\nngram 1=2\n\n" + ARPA,
    "text behind the end": ARPA + "\nngram 1=2\n",
    "<UNK>": ARPA.replace("<unk>", "<UNK>"),
    "other order": ARPA.replace("-0.3979\t<s> a\t-0.1760913\n", "").replace(
        "\n\n\\3-grams", "\n-0.3979\t<s> a\t-0.1760913\n\n\\3-grams"
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_the_format(arpa, name):
    assert_equal(read_arpa(arpa(VARIANTS[name])), read_arpa(arpa(name="plain.arpa")))


IARPA = """iARPA

\\data\\
ngram 1=4
ngram 2=2
ngram 3=1

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.3
-0.5\ta\t-0.4
-0.7\t</s>

\\2-grams:
-0.2\t<s> a\t-0.6
-0.9\ta a

\\3-grams:
-0.8\t<s> a a

\\end\\
"""


def test_the_terms_of_an_interpolated_model_are_summed(arpa):
    """IRSTLM's iARPA: P(w | context) = f(w | context) + weight(context) P(w | suffix of the context)."""
    a, b, c = (10**logp for logp, _ in scores(arpa(IARPA), "a a"))
    first = 10**-0.2 + 10**-0.3 * 10**-0.5
    below = 10**-0.9 + 10**-0.4 * 10**-0.5
    assert a == pytest.approx(first, rel=1e-5)
    assert b == pytest.approx(10**-0.8 + 10**-0.6 * below, rel=1e-5)
    assert c == pytest.approx(10**-0.4 * 10**-0.7, rel=1e-5)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_compressed_whatever_its_name(arpa, compress):
    assert_equal(read_arpa(arpa(compress(ARPA.encode()))), read_arpa(arpa(name="plain.arpa")))


def test_blocks_do_not_matter(arpa, monkeypatch):
    whole = read_arpa(arpa())
    monkeypatch.setattr("asr.utils.compressed_text.BLOCK", 30)
    assert_equal(read_arpa(arpa()), whole)


def test_a_missing_unknown_word_is_added(arpa):
    path = arpa(ARPA.replace("-1.2041\t<unk>\t0\n", "").replace("ngram 1=6", "ngram 1=5"))
    assert scores(path, "dog")[0] == (pytest.approx(-100 - 0.30103), 1)


def test_missing_contexts_are_added(arpa):
    """As KenLM does: the bigram gets the probability that backing off gives it, and back-off weight 1."""
    lines = "-0.7\tb b b\n-0.2\tcafé b café\n"
    path = arpa(ARPA.replace("ngram 3=3", "ngram 3=5").replace("\n\n\\end", f"\n{lines}\n\\end"))
    model = NgramModel.from_trie(read_arpa(path))
    assert model.counts == [6, 7, 5]
    found = [(logp / LN10, order) for logp, order in model.score(["b", "b", "b", "café"])]
    backed_off = -0.1461280 - 0.90309
    assert found[1] == (pytest.approx(backed_off), 2)
    assert found[2] == (pytest.approx(-0.7), 3)
    assert [round(logp, 5) for logp, _ in scores(path, "café b café")][1:3] == [round(-0.0705811 - 0.90309, 5), -0.2]


def test_a_whole_chain_of_contexts_is_added(arpa):
    content = ARPA.replace("ngram 3=3", "ngram 3=3\nngram 4=1").replace(
        "\\end\\", "\\4-grams:\n-0.1\tb b a café\n\n\\end\\"
    )
    model = NgramModel.from_trie(read_arpa(arpa(content)))
    assert model.counts == [6, 6, 4, 1]
    assert model.score(["b", "b", "a", "café"])[3] == (pytest.approx(-0.1 * LN10), 4)


# Bad files


def changed(old, new):
    assert old in ARPA
    return ARPA.replace(old, new)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("hello\n", r"not an ARPA file: it has no line '\\data\\'"),
        ("qARPA 2 256 256\n" + ARPA, "a quantized model of IRSTLM"),
        (changed("-0.5228\ta b", "inf\ta b"), ":16: no number"),
        (changed("-0.5228\ta b", "-infinite\ta b"), ":16: no number"),
        (ARPA.encode("utf-16"), "UTF-16, not UTF-8"),
        (ARPA.encode("latin-1"), ":12: not UTF-8"),
        (
            ARPA[: ARPA.index("café </s>")],
            ":18: too few words for this section; is it an ARPA file that arrived whole?",
        ),
        (ARPA[: ARPA.index("\\3-grams")], "cut short at line 21"),
        (ARPA[: ARPA.index("\\end")], "cut short at line 26"),
        (gzip.compress(ARPA.encode(), mtime=0)[:-20], "cut short or damaged"),
        (changed("ngram 2=5", "ngram 2=4"), ":19: more 2-grams than the 4 that the header says"),
        (changed("ngram 2=5", "ngram 2=6"), ":21: 5 2-grams, but the header says 6"),
        (changed("ngram 1=6", "ngram 1=six"), ":2: 'ngram 1=' and a number"),
        (changed("\\2-grams:", "\\4-grams:"), r":14: '\\2-grams:' must be here"),
        (changed("ngram 3=3", "ngram 3=3\nngram 4=0\nngram 5=0\nngram 6=0"), "order 6; at most 5"),
        (changed("-0.5228\ta b\t-0.09691", "-0.5228\ta"), ":16: too few words"),
        (changed("-0.5228\ta b\t", "-0.5228\ta b a\t"), ":16: too many fields"),
        (changed("-0.5228\ta b", "-0.5228\ta dog"), ":16: a word that the unigrams lack"),
        (changed("-0.5228\ta b", "x\ta b"), ":16: no number"),
        (changed("-0.5228\ta b", "0.5228\ta b"), ":16: a log-probability above 0"),
        (changed("-0.4437\ta café", "-0.4437\ta b"), ":17: the same n-gram a second time"),
        (changed("\tb\t", "\ta\t"), ":11: the same unigram a second time"),
    ],
)
def test_bad_files(arpa, content, message):
    path = arpa(content)
    with pytest.raises(LanguageModelError, match=message) as caught:
        read_arpa(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damage_gives_a_model_or_an_error(tmp_path_factory, data):
    content = ARPA.encode()
    for _ in range(data.draw(st.integers(1, 3))):
        place, length = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 20))
        content = content[:place] + data.draw(st.binary(max_size=5)) + content[place + length :]
    path = tmp_path_factory.mktemp("lm") / "lm.arpa"
    path.write_bytes(content)
    try:
        model = NgramModel.from_trie(read_arpa(path))
    except LanguageModelError as error:
        assert str(error).startswith(str(path))
    else:
        assert len(model.score(["a", "café", "b", "dog"])) >= 4


def test_long_words(arpa):
    long = "x" * 100_000
    assert long in read_arpa(arpa(ARPA.replace("café", long))).words


def test_a_missing_file(tmp_path):
    with pytest.raises(LanguageModelError, match="no such file"):
        read_arpa(tmp_path / "gone.arpa")


def test_a_log_probability_rounded_to_a_bit_above_0_is_0(arpa):
    assert scores(arpa(changed("-0.3979\t<s> a", "1e-7\t<s> a")), "a")[0] == (0, 2)


# Writing


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz", "lm.arpa.xz"])
def test_round_trip(arpa, tmp_path, name):
    trie = read_arpa(arpa(name="source.arpa"))
    write_arpa(tmp_path / name, trie)
    assert_equal(read_arpa(tmp_path / name), trie)
    assert read_counts(tmp_path / name) == [6, 5, 3]


def test_numbers_have_seven_digits_and_nothing_superfluous(tmp_path):
    numbers = [-1e-7, -0.5, -1.23456789, -12.3456789, -99.0, 0.0]
    words = ["<unk>", *"abcde"]
    trie = build_trie(words, [np.zeros(6, int)], [np.arange(6)], [np.array(numbers) * LN10], [])
    assert written_numbers(tmp_path, trie) == ["-0.0000001", "-0.5", "-1.234568", "-12.34568", "-99", "0"]
    assert written_numbers(tmp_path, trie, decimals=2) == ["0", "-0.5", "-1.23", "-12.35", "-99", "0"]


def written_numbers(folder, trie, **options) -> list[str]:
    write_arpa(folder / "lm.arpa", trie, **options)
    return [line.split("\t")[0] for line in (folder / "lm.arpa").read_text().splitlines() if "\t" in line]
