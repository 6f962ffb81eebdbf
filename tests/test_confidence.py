"""Word confidence: early words are judged as late ones are, streams as whole recordings, and rivals lower it."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from other_threads import seconds_in_other_threads

from asr.decoding.arrays import SNAPSHOT_FRAMES
from asr.decoding.beam import BeamDecoder
from asr.decoding.confidence import phone_peaks, pooling_of
from asr.decoding.config import BeamConfig
from asr.decoding.decoder import WordDecoder
from asr.decoding.greedy import Tokens
from asr.decoding.lexicon import Lexicon

PIECES = ["", " ", "a", "b", "c"]
WORD_PIECES = ["", " a", " b", " ab", "a", "b"]


def speech(frames: list[dict[str, float]], pieces=PIECES) -> np.ndarray:
    """Log-probabilities: in each frame the named pieces, the blank otherwise."""
    rows = np.full((len(frames), len(pieces)), 1e-6)
    for row, said in zip(rows, frames, strict=True):
        for piece, probability in said.items():
            row[pieces.index(piece)] = probability
        row[0] = max(1e-6, 1 - sum(said.values()))
    return np.log(rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


def said(*letters: dict[str, float]) -> list[dict[str, float]]:
    """Each letter in a frame of its own between blanks, then the space."""
    return [frame for letter in [*letters, {" ": 0.999}] for frame in (letter, {}, {})]


SURE, DOUBTFUL = said({"a": 0.999}, {"c": 0.999}), said({"a": 0.999}, {"b": 0.55, "c": 0.45})


def decode(frames, pieces=PIECES, **options):
    decoder = BeamDecoder(pieces, BeamConfig(**options))
    return WordDecoder(decoder).decode_batch([speech(frames, pieces)])[0].words


@pytest.mark.parametrize("beam", [4, 16, 64])
@pytest.mark.parametrize("place", [0, 5, 19])
def test_a_doubtful_word_has_low_confidence_wherever_it_is(place, beam):
    words = decode(SURE * place + DOUBTFUL + SURE * (19 - place), beam=beam)
    assert [word.text for word in words] == ["ac"] * place + ["ab"] + ["ac"] * (19 - place)
    assert 0.4 < words[place].confidence < 0.75
    assert min(word.confidence for i, word in enumerate(words) if i != place) > 0.9


def test_a_longer_recording_does_not_change_earlier_confidences():
    short, long = (decode(SURE * 3 + DOUBTFUL + SURE * count, beam=16) for count in (4, 400))
    assert [word.confidence for word in long[:5]] == pytest.approx([word.confidence for word in short[:5]], abs=1e-3)
    assert min(word.confidence for word in long[4:]) > 0.9


def test_more_doubt_is_less_confidence():
    shares = [0.51, 0.6, 0.7, 0.8, 0.9, 0.99]
    found = [decode(SURE * 2 + said({"a": 0.999}, {"b": x, "c": 1 - x}) + SURE * 2)[2].confidence for x in shares]
    assert found == sorted(found)
    assert found[0] < 0.7 and found[-1] > 0.8


def test_a_word_that_may_be_missing_lowers_itself_and_not_its_neighbours():
    maybe = [{"b": 0.7}, {}, {" ": 0.999}, {}]
    words = decode(SURE * 3 + maybe + SURE * 3, beam=64)
    assert [word.text for word in words] == ["ac"] * 3 + ["b"] + ["ac"] * 3
    assert words[3].confidence < 0.75
    assert min(word.confidence for i, word in enumerate(words) if i != 3) > 0.75


def test_words_of_a_closed_vocabulary():
    lexicon = Lexicon.of_words(["ab", "ac", "bc"], PIECES)
    decoder = BeamDecoder(PIECES, BeamConfig(open_vocabulary=False), lexicon=lexicon)
    words = WordDecoder(decoder).decode_batch([speech(SURE + DOUBTFUL + SURE)])[0].words
    assert [word.text for word in words] == ["ac", "ab", "ac"]
    assert words[1].confidence < 0.75 < 0.9 < min(words[0].confidence, words[2].confidence)


def test_doubt_about_the_context_of_a_phone_is_none_about_the_word():
    units = ["", "B", "C-B", "AA", "D"]
    lexicon = Lexicon.of_pronunciations([("ab", ["AA", "B"]), ("ad", ["AA", "D"])], units)
    decoder = WordDecoder(BeamDecoder(units, BeamConfig(open_vocabulary=False), lexicon=lexicon))

    def confidence(**phone: float) -> float:
        frames = [{"AA": 0.999}, {}, {name.replace("_", "-"): share for name, share in phone.items()}, {}]
        (word,) = decoder.decode_batch([speech(frames, units)])[0].words
        assert word.text == "ab"
        return word.confidence

    assert confidence(B=0.6, C_B=0.39) == pytest.approx(confidence(B=0.99), abs=0.01)
    assert confidence(B=0.6, D=0.39) < confidence(B=0.6, C_B=0.39) - 0.1


def test_confidence_is_computed_in_the_calling_thread():
    """Threads of a linear algebra library spin for a while after each product, on cores that others need."""
    units = ["", *(f"{context}A{phone}" for phone in range(39) for context in ("", "#-", "V-"))]
    emission = np.full((2000, len(units)), -np.log(len(units)), np.float32)
    tokens, pooling = Tokens(np.array([1]), np.array([0]), np.array([2000]), np.zeros(1)), pooling_of(units)
    assert seconds_in_other_threads(lambda: phone_peaks(emission, tokens, pooling)) < 0.02
    np.testing.assert_allclose(phone_peaks(emission, tokens, pooling), np.log(3 / len(units)), rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 150),
    st.integers(0, 10**6),
    st.lists(st.integers(0, 150), max_size=5),
    st.integers(1, 20),
    st.sampled_from([PIECES, WORD_PIECES, ["", "a", "b"]]),
    st.booleans(),
)
@example(88, 136, [], 17, WORD_PIECES, False)  # no snapshot had room for what won in the end
def test_each_word_has_a_share_that_streams_have_too(frames, seed, cuts, beam, pieces, closed):
    logits = 3 * np.random.default_rng(seed).standard_normal((frames, len(pieces)))
    emission = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    lexicon = Lexicon.of_words(["a", "ab", "b", "ba"], pieces) if closed else None
    decoder = BeamDecoder(pieces, BeamConfig(beam=beam, hypotheses=2, open_vocabulary=not closed), lexicon=lexicon)
    whole = decoder.decode(emission)
    assert len(whole[0].shares) == len(whole[0].words) and all(0 < share <= 1 for share in whole[0].shares)
    stream = decoder.stream()
    for piece in np.split(emission, sorted(min(cut, frames) for cut in cuts)):
        stream.push(piece)
        stream.finish()
    assert stream.finish() == whole


def test_snapshots_survive_when_the_tree_is_tidied():
    frames = (SURE + DOUBTFUL) * 150
    decoder = BeamDecoder(PIECES, BeamConfig(beam=8))
    stream = decoder.stream()
    stream.push(speech(frames))
    beam = stream._beam
    assert beam.counts[3] == len(frames) // SNAPSHOT_FRAMES > 128
    taken = beam.moments[: beam.counts[3]]
    assert (np.diff(taken) >= 0).all() and taken[-1] <= beam.counts[1]
    for moment, held in zip(taken, beam.held, strict=False):
        nodes = held["node"][: np.flatnonzero(held["node"] < 0)[0] if (held["node"] < 0).any() else None]
        assert len(nodes) and (nodes < moment).all()
    shares = stream.finish()[0].shares
    assert min(shares[::2]) > 0.9 and max(shares[1:7:2]) < 0.7
