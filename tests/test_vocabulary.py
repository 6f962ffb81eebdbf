"""Words that the lexicon lacks, added for one run by --vocabulary or as hotwords."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from asr.audio.espeak import Espeak
from asr.audio.io import resample
from asr.decoding.config import BeamConfig, DecoderConfig, load_decoder
from asr.decoding.decoder import make_decoder
from asr.decoding.hotwords import Phrase
from asr.decoding.lexicon import NEW_WORD_SHARE, Lexicon
from asr.errors import ConfigError, DecoderError
from asr.lm.config import LmConfig
from asr.lm.pronunciation import IPA
from asr.lm.training import train_model
from asr.pretrained import ENGLISH
from asr.punctuation.config import PLAIN
from asr.recognition.recognizer import Recognizer
from asr.text.config import TextConfig
from asr.text.tokenizer import CharacterTokenizer

PHONES = ["", *sorted({phone for phones in IPA.values() for phone in phones})]
LETTERS = CharacterTokenizer("abcdefghijklmnopqrstuvwxyz' ")
CLOSED = BeamConfig(open_vocabulary=False, lm_weight=1.0)


@pytest.fixture
def files(tmp_path):
    """A lexicon and a language model that know the words of "the cat sat" alone."""
    (tmp_path / "lexicon.txt").write_text("the  DH AH\ncat  K AE T\nsat  S AE T\n")
    (tmp_path / "text").write_text("the cat sat\nthe rat sat\n" * 3)
    train_model([tmp_path / "text"], LmConfig(order=2, vocab=3), tmp_path / "lm.arpa")
    return tmp_path


def write(folder, text, name="names.txt"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def decoder(folder, **options):
    config = DecoderConfig(lm=str(folder / "lm.arpa"), lexicon=folder / "lexicon.txt", beam=CLOSED, **options)
    return make_decoder(config, LETTERS, TextConfig(), PHONES)


def spoken(phones: str) -> np.ndarray:
    """Log-probabilities of the letters and phones of a network that is sure of these phones."""
    frames = [phone for each in phones.split() for phone in (each, "")]
    emission = np.full((len(frames), len(PHONES)), np.log(1e-3))
    for row, phone in zip(emission, frames, strict=True):
        row[PHONES.index(phone)] = np.log(1 - 1e-3 * (len(PHONES) - 1))
    return np.hstack([np.zeros((len(frames), len(LETTERS.pieces))), emission])


def words(found, phones: str) -> str:
    return found.decode_batch([spoken(phones)])[0].text


def test_a_name_is_pronounced_and_recognised(files, cmudict_read_once):
    phones = "DH AH G AE DH ER K OW L S AE T"
    names = write(files, "# people\nGathercole\n")
    assert "gathercole" not in words(decoder(files), phones)
    assert words(decoder(files, vocabulary=names), phones) == "the gathercole sat"
    assert words(decoder(files, hotwords=names), phones) == "the gathercole sat"
    assert words(decoder(files, vocabulary=names), "DH AH K AE T S AE T") == "the cat sat"


def test_a_pronunciation_of_ones_own_counts_beside_those_of_the_lexicon(files):
    names = write(files, "Nguyen  W IH1 N\ncat(2)  K UW T\n")
    assert words(decoder(files, vocabulary=names), "DH AH W IH N S AE T") == "the nguyen sat"
    assert words(decoder(files, vocabulary=names), "DH AH K UW T S AE T") == "the cat sat"
    assert words(decoder(files, vocabulary=names), "DH AH K AE T S AE T") == "the cat sat"


def test_several_names_on_a_line_are_words_of_their_own(files, cmudict_read_once):
    names = write(files, "Dick Tate\n")
    assert words(decoder(files, vocabulary=names), "T EY T D IH K") == "tate dick"


def test_without_cmudict_the_lexicon_and_espeak_pronounce(files, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cmudict", None)
    names = write(files, "Gathercole\ncats\n")
    assert words(decoder(files, vocabulary=names), "DH AH G AE DH ER K OW L K AE T S") == "the gathercole cats"


def test_hotwords_of_one_request(files, cmudict_read_once):
    """They come on top of the file's; those that cannot be pronounced are left out; the decoder stays as it was."""
    phones = "DH AH G AE DH ER K OW L W IH L Y AH M Z"
    plain = decoder(files, hotwords=write(files, "Gathercole\n"))
    before = words(plain, phones)
    found = plain.with_hotwords([Phrase("москва", 5.0), Phrase("williams", 5.0), Phrase("", 5.0)])
    assert words(found, phones) == "the gathercole williams"
    assert words(plain, phones) == before != "the gathercole williams"


def test_a_new_word_has_a_share_of_the_unknown_words_probability(files, cmudict_read_once):
    found = decoder(files, vocabulary=write(files, "Gathercole\n")).beam
    lm = found._model
    best = found.decode(spoken("DH AH G AE DH ER K OW L S AE T")[:, len(LETTERS.pieces) :])[0]
    scores = [logp for logp, _ in lm.score(["the", "<unk>", "sat"])]
    assert best.lm == pytest.approx(sum(scores) + np.log(NEW_WORD_SHARE), abs=1e-5)


def test_words_spelled_by_letters_are_added_too(files):
    pieces = LETTERS.pieces
    lexicon = Lexicon.of_words(["the", "cat"], pieces).with_words([("gathercole", ()), ("cat", ())], pieces)
    assert lexicon.words == ["cat", "gathercole", "the"]
    assert lexicon.new_words == {"gathercole"}
    with pytest.raises(DecoderError, match=r"characters that the model cannot write: 'é' \(1\)"):
        lexicon.with_words([("café", ())], pieces)


@pytest.mark.parametrize("option", ["vocabulary", "hotwords"])
def test_what_cannot_be_pronounced_is_named_with_its_line_and_the_remedy(files, cmudict_read_once, option):
    names = write(files, "cat\nмосква\n")
    with pytest.raises(DecoderError, match=r"names\.txt:2: .*'москва'.*--vocabulary"):
        decoder(files, **{option: names})


@pytest.mark.parametrize(("content", "message"), [("", "no words"), ("# all\n\n", "no words"), ("cat\n!!!\n", ":2: ")])
def test_a_vocabulary_without_words_is_refused(files, content, message):
    with pytest.raises(DecoderError, match=message):
        decoder(files, vocabulary=write(files, content))


def test_a_vocabulary_needs_a_lexicon_or_language_model(files):
    config = DecoderConfig(vocabulary=write(files, "cat\n"))
    with pytest.raises(ConfigError, match=r"--vocabulary .*--lexicon or --lm"):
        make_decoder(config, LETTERS, TextConfig(), PHONES)


@pytest.mark.slow
def test_new_names_in_recordings_are_recognised_and_other_words_stay(tmp_path):
    """By the English model, from a synthetic voice; and the recording in tests/data, which has none of the names."""
    names = ["haverstock", "brandlethorpe", "wolderton", "kelsingham"]
    vocabulary = tmp_path / "names.txt"
    vocabulary.write_text("\n".join(names) + "\n")
    defaults = load_decoder(ENGLISH)
    without, with_names = (
        Recognizer.load(decoder=config, writing=PLAIN)
        for config in (defaults, dataclasses.replace(defaults, vocabulary=vocabulary))
    )
    speaker = Espeak()
    for name in names:
        sentence = f"i have spoken with mister {name} about the house"
        before = sentence.split()[:6]
        samples = speaker.say(sentence, "en-us", words_per_minute=140, pitch=45)
        samples = resample(samples, speaker.sample_rate, 16000)
        assert name not in without.transcribe(samples).text.split()
        assert with_names.transcribe(samples).text.split()[:6] == before
    recording = Path(__file__).parent / "data" / "1088-134315-0013.opus"
    assert with_names.transcribe(recording).text == without.transcribe(recording).text
