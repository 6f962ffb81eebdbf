"""Input that decoders must survive: odd log-probabilities, lexicons, hotwords and language models."""

from pathlib import Path

import numpy as np
import pytest
from command_line import ERROR, assert_told

from asr.decoding.beam import BeamDecoder
from asr.decoding.config import BeamConfig, DecoderConfig
from asr.decoding.decoder import WordDecoder, make_decoder
from asr.decoding.hotwords import Phrase, read_hotwords
from asr.decoding.lexicon import Lexicon
from asr.errors import DecoderError, LexiconError
from asr.lm.ngram import NgramModel
from asr.text.config import TextConfig
from asr.text.tokenizer import CharacterTokenizer

PIECES = ["", " ", "a", "b"]
PHONES = ["", "AH", "B", "K", "AE", "T"]


def log_softmax(logits) -> np.ndarray:
    logits = np.asarray(logits, np.float64)
    top = logits.max(axis=-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))


def noise(frames: int = 20, tokens: int = 4) -> np.ndarray:
    return log_softmax(2 * np.random.default_rng(0).standard_normal((frames, tokens)))


def certain(text: str, pieces=PIECES, otherwise: float = -1e4) -> np.ndarray:
    """One frame for each character, `_` being the blank, with the others at `otherwise`."""
    emission = np.full((len(text), len(pieces)), otherwise)
    for row, character in zip(emission, text, strict=True):
        row[pieces.index("" if character == "_" else character)] = 0.0
    return emission


def decode(emission, pieces=PIECES, lexicon=None, **options):
    decoding = WordDecoder(BeamDecoder(pieces, BeamConfig(**options), lexicon=lexicon)).decode_batch([emission])[0]
    assert all(0 <= word.start < word.end <= len(emission) for word in decoding.words)
    assert all(0 < word.confidence <= 1 for word in decoding.words)
    return decoding


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "hold NaN"), (np.inf, "sum to inf"), (-np.inf, "sum to"), (5.0, "sum to 14")]
)
def test_a_frame_that_is_not_a_distribution_is_named(value, message):
    emission = noise()
    emission[7, 2] = value
    emission[9] = np.nan
    with pytest.raises(DecoderError, match=f"^frame 7: .*{message}.*; give the output of log_softmax"):
        decode(emission)


@pytest.mark.parametrize("emission", [np.zeros((3, 4)), np.exp(noise()), np.full((2, 4), -np.inf), noise() * 3])
def test_logits_and_probabilities_are_refused(emission):
    with pytest.raises(DecoderError, match=r"frame 0: .*log_softmax"):
        decode(emission)


@pytest.mark.parametrize("emission", [noise(5, 3), noise(5, 5), noise()[0], noise()[None], np.zeros((0, 0)), []])
def test_another_width_is_refused(emission):
    with pytest.raises(DecoderError, match=r"shape \(.*needs \(frames, 4\)"):
        decode(emission)


@pytest.mark.parametrize("emission", [np.array([["a"] * 4]), noise() + 0j, np.array([[None] * 4])])
def test_non_numeric_input_is_refused(emission):
    with pytest.raises(DecoderError, match="needs real numbers"):
        decode(emission)


def test_streams_refuse_the_same_and_continue_with_the_next_piece():
    stream = BeamDecoder(PIECES).stream()
    stream.push(noise()[:10])
    with pytest.raises(DecoderError):
        stream.push(np.full((5, 4), np.nan))
    stream.push(noise()[10:])
    assert stream.finish() == BeamDecoder(PIECES).decode(noise())


@pytest.mark.parametrize(
    "change",
    [
        lambda emission: emission.astype(np.float64),
        lambda emission: emission.astype(np.float16),
        np.asfortranarray,
        lambda emission: np.repeat(emission, 2, axis=1)[:, ::2],
        lambda emission: emission[::-1][::-1],
        lambda emission: emission.tolist(),
    ],
)
def test_kinds_of_arrays(change):
    wanted, found = decode(noise().astype(np.float32)), decode(change(noise()))
    assert [(word.text, word.start, word.end) for word in found.words] == [
        (word.text, word.start, word.end) for word in wanted.words
    ]
    assert found.hypotheses[0].score == pytest.approx(wanted.hypotheses[0].score, abs=0.01)


def test_input_is_left_as_it_was():
    emission = noise().astype(np.float32)
    emission.flags.writeable = False
    decode(emission)
    assert np.array_equal(emission, noise().astype(np.float32))


@pytest.mark.parametrize(
    "emission", [np.zeros((0, 4)), log_softmax([[60, 0, 0, 0]] * 9), certain("____"), certain("_")]
)
def test_silence_has_no_words(emission):
    decoding = decode(emission)
    assert (decoding.text, decoding.words) == ("", ())
    assert decoding.hypotheses[0].score == pytest.approx(0, abs=1e-6)


def test_one_frame():
    assert decode(certain("a")).text == "a"
    assert decode(log_softmax([[0.0, 0.0, 2.0, 0.0]])).words[0].end == 1


@pytest.mark.parametrize("frames", [0, 1, 5])
def test_a_vocabulary_of_the_blank_alone(frames):
    assert decode(np.zeros((frames, 1)), [""]).text == ""


def test_a_vocabulary_of_the_blank_and_one_token():
    assert decode(certain("a_aa_", ["", "a"]), ["", "a"]).text == "aa"
    assert decode(certain("_  _", ["", " "]), ["", " "]).text == ""


@pytest.mark.parametrize("otherwise", [-1e4, -np.inf, -100.0])
def test_extremely_sharp_rows(otherwise):
    decoding = decode(certain("_ab_b a__", otherwise=otherwise))
    assert decoding.text == "abb a"
    assert [word.confidence for word in decoding.words] == [1.0, 1.0]


def test_impossible_tokens_beside_possible_ones():
    logits = np.random.default_rng(1).standard_normal((30, 4))
    logits[:, 2] = -np.inf
    assert "a" not in decode(log_softmax(logits)).text


@pytest.mark.parametrize("otherwise", [-1e4, -np.inf])
def test_a_closed_vocabulary_in_which_nothing_fits(otherwise):
    lexicon = Lexicon.of_words(["bb"], PIECES)
    decoding = decode(certain("_a_b_", otherwise=otherwise), lexicon=lexicon, open_vocabulary=False)
    assert (decoding.text, decoding.words, len(decoding.hypotheses)) == ("", (), 1)
    assert decoding.hypotheses[0].score == -np.inf


def write(folder, content) -> str:
    path = folder / "words.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


BAD_LEXICONS = [
    ("", "no words"),
    (";;; a comment alone\n\n", "no words"),
    (b"ab\xff\n", "not UTF-8"),
    ("ab a b\nba\n", "'ba' has no tokens"),
    ("ab a b\nba b x\n", r"tokens that the model lacks: 'x' \(1\)"),
    ("ab\ncaf\u00e9\n", "1 word.*cannot write.*'c'"),
]


@pytest.mark.parametrize(("content", "message"), BAD_LEXICONS)
def test_bad_lexicons_are_named(content, message, tmp_path):
    path = write(tmp_path, content)
    with pytest.raises((DecoderError, LexiconError), match=f"words.txt: .*{message}"):
        Lexicon.read(path, PIECES)


def test_a_lexicon_that_is_not_there(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(LexiconError, match=f"{path.name}: .*give a lexicon"):
            Lexicon.read(path, PIECES)


CMUDICT = """;;; the Carnegie Mellon dictionary
CAB  K AE1 B
A  AH0 # a comment
A(2)  AE1
CUT  K AH1 T
CUT(2)  K T
CAT  K AE0 T
KAT  K AE0 T
"""


def test_cmudict_with_variants_comments_and_stress(tmp_path):
    lexicon = Lexicon.read(write(tmp_path, CMUDICT), PHONES)
    assert lexicon.words == ["A", "CAB", "CAT", "CUT", "KAT"]
    assert len(lexicon.spelled) == 7
    emission = certain("_", PHONES).repeat(12, axis=0)
    for frame, phone in zip(range(0, 12, 2), ["K", "AE", "B", "K", "T", "AH"], strict=True):
        emission[frame] = -1e4
        emission[frame, PHONES.index(phone)] = 0.0
    decoding = decode(emission, PHONES, lexicon)
    assert decoding.text == "CAB CUT A"
    assert [(word.start, word.end) for word in decoding.words] == [(0, 5), (6, 9), (10, 11)]


def test_cmudict_with_stress_for_a_model_with_stress(tmp_path):
    phones = ["", "K", "AE0", "AE1", "B", "T"]
    with pytest.raises(DecoderError, match="tokens that the model lacks: 'AH0'"):
        Lexicon.read(write(tmp_path, CMUDICT), phones)
    assert Lexicon.read(write(tmp_path, "CAB  K AE1 B\n"), phones).symbols.tolist() == [1, 3, 4]


BAD_HOTWORDS = [
    ("ab\tmuch\n", ":1: 'much' is not a boost"),
    ("# first\nab\t-1\n", ":2: needs a phrase and a boost above 0"),
    ("ab\tnan\n", ":1: needs a phrase"),
    ("ab\tinf\n", ":1: needs a phrase"),
    ("\t3\n", ":1: needs a phrase"),
    (b"\xff\xfe\n", ": not UTF-8"),
]


@pytest.mark.parametrize(("content", "message"), BAD_HOTWORDS)
def test_bad_hotword_files_are_reported_with_their_line(content, message, tmp_path):
    with pytest.raises(DecoderError, match=f"words.txt{message}"):
        read_hotwords(write(tmp_path, content), 5.0)


def test_a_hotword_file_may_hold_comments_alone(tmp_path):
    assert read_hotwords(write(tmp_path, "# none yet\n\n"), 5.0) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ab\nxylophone\n", "hotword 'xylophone': the model cannot write 'x'"),
        ("...\n", "'...'"),
    ],
)
def test_hotwords_that_cannot_be_spelled_are_errors_with_the_file_named(content, message, tmp_path):
    config = DecoderConfig(hotwords=write(tmp_path, content))
    with pytest.raises(DecoderError, match=r"words\.txt:[12]: ") as told:
        make_decoder(config, CharacterTokenizer("ab "), TextConfig(normalizer="basic"))
    assert message in str(told.value)


def test_none_is_no_file():
    nothing = Path("none")
    config = DecoderConfig(rescore=nothing, lexicon=nothing, vocabulary=nothing, hotwords=nothing)
    assert config == DecoderConfig() and config.is_greedy


def test_hotwords_outside_a_closed_vocabulary_are_errors():
    config, lexicon = BeamConfig(open_vocabulary=False), Lexicon.of_words(["ab", "ba"], PIECES)
    with pytest.raises(DecoderError, match="hotword 'ab aa': 'aa' is not in the lexicon"):
        BeamDecoder(PIECES, config, lexicon=lexicon, hotwords=[Phrase("ab aa", 2.0)])
    BeamDecoder(PIECES, config, lexicon=lexicon, hotwords=[Phrase("ab ba", 2.0)])


UPPER = """\\data\\
ngram 1=6

\\1-grams:
-1.0\t<unk>
-99\t<s>
-1.0\t</s>
-0.5\tAB
-1.0\tBA
-1.0\tab

\\end\\
"""


def test_an_upper_case_language_model_is_an_error_with_the_share_of_its_words(tmp_path):
    path = tmp_path / "upper.arpa"
    path.write_text(UPPER)
    with pytest.raises(DecoderError, match=r"2 of its 3 words, 81% .*'A'.*is it upper case"):
        BeamDecoder(PIECES, lm=NgramModel.load(path), name=str(path))


@pytest.mark.parametrize(
    ("option", "content", "message"),
    [
        ("--lm", UPPER, "is it upper case"),
        ("--lm", "not an ARPA file", "words.txt"),
        ("--lexicon", "", "no words"),
        ("--lexicon", "xylophone\n", "cannot write"),
        ("--hotwords", "ab\tmuch\n", "is not a boost"),
        ("--hotwords", "xylophone\n", "the model cannot write"),
        ("--lm", None, "no such language model"),
        ("--lexicon", None, "No such file"),
        ("--hotwords", None, "No such file"),
    ],
)
def test_transcribe_names_the_unusable_file_in_one_line(
    option, content, message, asr, model_path, noise_file, tmp_path
):
    path = tmp_path / "words.txt" if content is None else write(tmp_path, content)
    if option == "--lm" and content is not None:
        path = (tmp_path / "words.txt").rename(tmp_path / "words.txt.arpa")
    result = asr("transcribe", noise_file("a.wav"), "--model", model_path, option, path)
    assert_told(result, ERROR, "words.txt", message)
    assert result.stdout == ""
