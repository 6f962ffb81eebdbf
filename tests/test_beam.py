"""Prefix beam search against brute force: every alignment summed, every word sequence scored."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.decoding.beam import BeamDecoder
from asr.decoding.config import BeamConfig
from asr.decoding.hotwords import Phrase
from asr.decoding.lexicon import Lexicon
from asr.errors import DecoderError
from asr.lm.ngram import NgramModel
from asr.lm.trie import build_trie

LETTERS = ["", " ", "a", "b"]
PIECES = ["", " a", "b", " ab", "a"]
PHONES = ["", "p", "q", "r"]
CHARACTERS = ["", "語", "言", "字"]


def emissions(frames: int, tokens: int, seed: int, sharpness: float = 2.0) -> np.ndarray:
    logits = sharpness * np.random.default_rng(seed).standard_normal((frames, tokens))
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def token_sequences(emission: np.ndarray) -> dict[tuple[int, ...], float]:
    """ln P of every token sequence, all alignments summed."""
    totals = defaultdict(float)
    for path in itertools.product(range(emission.shape[1]), repeat=len(emission)):
        tokens = tuple(token for token, _ in itertools.groupby(path) if token)
        totals[tokens] += np.exp(float(sum(emission[t, token] for t, token in enumerate(path))))
    return {tokens: np.log(total) for tokens, total in totals.items()}


def texts(emission: np.ndarray, pieces: list[str]) -> dict[str, float]:
    totals = defaultdict(list)
    for tokens, total in token_sequences(emission).items():
        totals[" ".join("".join(pieces[token] for token in tokens).split())].append(total)
    return {text: np.logaddexp.reduce(values) for text, values in totals.items()}


def wide(**options) -> BeamConfig:
    return BeamConfig(**{"beam": 16000, "beam_nats": 600.0, "hypotheses": 10000, **options})


def found(hypotheses) -> dict[str, float]:
    assert len({hypothesis.text for hypothesis in hypotheses}) == len(hypotheses)
    assert all(a.score >= b.score for a, b in itertools.pairwise(hypotheses))
    return {hypothesis.text: hypothesis.score for hypothesis in hypotheses}


def agree(ours: dict[str, float], wanted: dict[str, float]) -> None:
    assert ours.keys() == wanted.keys()
    for text, score in wanted.items():
        assert ours[text] == pytest.approx(score, abs=1e-4), text


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6), st.sampled_from([LETTERS, PIECES]))
def test_without_a_model_every_text_has_the_probability_of_its_alignments(frames, seed, pieces):
    emission = emissions(frames, len(pieces), seed)
    agree(found(BeamDecoder(pieces, wide()).decode(emission)), texts(emission, pieces))


class Bigrams:
    """A random back-off model, kept in dictionaries and asked by the definition."""

    def __init__(self, words: list[str], seed: int):
        random = np.random.default_rng(seed)
        self.words = ["<unk>", "<s>", "</s>", *words]
        self.unigrams = {word: -random.uniform(0.5, 4) for word in self.words}
        self.backoffs = {word: -random.uniform(0, 2) for word in self.words}
        pairs = itertools.product(self.words, self.words)
        self.bigrams = {pair: -random.uniform(0.1, 3) for pair in pairs if random.random() < 0.4}

    def score(self, words: list[str]) -> float:
        known = [word if word in self.unigrams else "<unk>" for word in words]
        return sum(self.ask(a, b) for a, b in itertools.pairwise(["<s>", *known, "</s>"]))

    def ask(self, before: str, word: str) -> float:
        if (before, word) in self.bigrams:
            return self.bigrams[before, word]
        return self.backoffs[before] + self.unigrams[word]

    def model(self) -> NgramModel:
        order = sorted(self.bigrams, key=lambda pair: [self.words.index(word) for word in pair])
        contexts = [self.words.index(a) for a, _ in order], [self.words.index(b) for _, b in order]
        trie = build_trie(
            self.words,
            [np.zeros(len(self.words), np.int64), np.array(contexts[0])],
            [np.arange(len(self.words)), np.array(contexts[1])],
            [np.array(list(self.unigrams.values())), np.array([self.bigrams[pair] for pair in order])],
            [np.array(list(self.backoffs.values()))],
        )
        return NgramModel.from_trie(trie)


WEIGHTS = {"lm_weight": 0.7, "word_bonus": 0.4, "unknown_penalty": -1.5}


def weigh(words: list[str], lm: Bigrams | None, vocabulary: set[str]) -> float:
    unknown = sum(word not in vocabulary for word in words)
    asked = WEIGHTS["lm_weight"] * lm.score(words) if lm else 0.0
    return asked + WEIGHTS["word_bonus"] * len(words) + WEIGHTS["unknown_penalty"] * unknown


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(0, 10**6),
    st.sampled_from([LETTERS, PIECES]),
    st.sets(st.text("ab", min_size=1, max_size=3), min_size=1),
    st.booleans(),
    st.booleans(),
)
def test_words_are_scored_by_the_language_model_and_the_lexicon(frames, seed, pieces, words, is_open, has_lm):
    emission, lm = emissions(frames, len(pieces), seed), Bigrams(sorted(words), seed) if has_lm else None
    lexicon = None if has_lm else Lexicon.of_words(words, pieces)
    decoder = BeamDecoder(pieces, wide(open_vocabulary=is_open, **WEIGHTS), lm and lm.model(), lexicon)
    wanted = {
        text: total + weigh(text.split(), lm, words)
        for text, total in texts(emission, pieces).items()
        if is_open or words.issuperset(text.split())
    }
    agree(found(decoder.decode(emission)), wanted)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(0, 10**6),
    st.sets(st.tuples(st.sampled_from("UVW"), st.text("pqr", min_size=1, max_size=3)), min_size=1, max_size=8),
)
def test_phones_become_words_by_every_pronunciation_and_segmentation(frames, seed, pronunciations):
    emission, lm = emissions(frames, len(PHONES), seed), Bigrams(["U", "V", "W"], seed)
    decoder = BeamDecoder(PHONES, wide(**WEIGHTS), lm.model(), Lexicon.of_pronunciations(pronunciations, PHONES))
    wanted = defaultdict(list)
    for tokens, total in token_sequences(emission).items():
        for words in segmentations("".join(PHONES[token] for token in tokens), pronunciations):
            wanted[" ".join(words)].append(total + weigh(words, lm, {"U", "V", "W"}))
    agree(found(decoder.decode(emission)), {text: np.logaddexp.reduce(values) for text, values in wanted.items()})


def segmentations(phones: str, pronunciations) -> list[list[str]]:
    if not phones:
        return [[]]
    return [
        [word, *rest]
        for word, spelling in pronunciations
        if phones.startswith(spelling)
        for rest in segmentations(phones[len(spelling) :], pronunciations)
    ]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_a_script_without_spaces_is_scored_character_by_character(frames, seed):
    emission, lm = emissions(frames, len(CHARACTERS), seed), Bigrams(["語", "言"], seed)
    weights = {"lm_weight": 0.7, "word_bonus": 0.4}
    found_texts = found(BeamDecoder(CHARACTERS, wide(**weights), lm.model()).decode(emission))
    wanted = {
        text: total + 0.7 * lm.score(list(text)) + 0.4 * len(text)  # the one that it lacks is <unk>
        for text, total in texts(emission, CHARACTERS).items()
    }
    agree(found_texts, wanted)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(0, 10**6),
    st.sampled_from([LETTERS, PIECES]),
    st.dictionaries(st.sampled_from(["a", "ab", "ba", "a b", "a a", "ab a", "b b a"]), st.floats(0.5, 5), min_size=1),
)
def test_a_hotword_counts_where_all_its_words_are_and_nowhere_else(frames, seed, pieces, phrases):
    emission = emissions(frames, len(pieces), seed)
    decoder = BeamDecoder(pieces, wide(), hotwords=[Phrase(*item) for item in phrases.items()])
    wanted = {
        text: total + sum(boost * count_phrase(text.split(), phrase.split()) for phrase, boost in phrases.items())
        for text, total in texts(emission, pieces).items()
    }
    agree(found(decoder.decode(emission)), wanted)


def count_phrase(words: list[str], phrase: list[str]) -> int:
    return sum(words[start : start + len(phrase)] == phrase for start in range(len(words)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 60), st.integers(0, 10**6), st.lists(st.integers(0, 60), max_size=6), st.integers(1, 9))
def test_a_stream_in_pieces_gives_what_decoding_at_once_gives(frames, seed, cuts, beam):
    emission = emissions(frames, len(LETTERS), seed)
    decoder = BeamDecoder(LETTERS, BeamConfig(beam=beam, hypotheses=5), Bigrams(["a", "ab", "b"], seed).model())
    stream = decoder.stream()
    for piece in np.split(emission, sorted(min(cut, frames) for cut in cuts)):
        stream.push(piece)
        stream.finish()  # looking at the result so far changes nothing
    assert [(h.text, h.score) for h in stream.finish()] == [(h.text, h.score) for h in decoder.decode(emission)]
    assert stream.frames == frames


def test_long_streams_keep_only_what_the_beam_needs():
    decoder = BeamDecoder(LETTERS, BeamConfig(beam=8), Bigrams(["a", "ab", "b"], 1).model())
    stream = decoder.stream()
    for seed in range(40):
        stream.push(emissions(500, len(LETTERS), seed))
    whole = decoder.stream()
    whole.push(np.concatenate([emissions(500, len(LETTERS), seed) for seed in range(40)]))
    assert stream.finish() == whole.finish()
    assert stream._beam.counts[1] < 20000 * 8 / 3


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(0, 10**6), st.floats(0.05, 0.9))
def test_priors_are_subtracted_from_each_frame(frames, seed, scale):
    emission, priors = emissions(frames, len(LETTERS), seed), np.array([0.7, 0.1, 0.15, 0.05])
    shares = np.exp(emission) / priors**scale
    wanted = texts(np.log(shares / shares.sum(axis=1, keepdims=True)), LETTERS)
    agree(found(BeamDecoder(LETTERS, wide(prior_scale=scale), priors=priors).decode(emission)), wanted)
    plain = BeamDecoder(LETTERS, wide(), priors=priors).decode(emission)
    assert plain == BeamDecoder(LETTERS, wide()).decode(emission)


def test_prior_scale_needs_priors():
    with pytest.raises(DecoderError, match=r"prior_scale 0\.4: this model file .* has none"):
        BeamDecoder(LETTERS, BeamConfig(prior_scale=0.4))


def hesitant(words: int) -> np.ndarray:
    """`words` times an a that might be a b, and then what is a b in the end, though it began as an a."""
    unsure, space = (1e-4, 1e-4, 0.5, 0.4998), (1e-4, 0.9997, 1e-4, 1e-4)
    rows = [*[unsure, space] * words, (1e-4, 1e-4, 0.9, 0.0998), (1e-4, 1e-4, 1e-4, 0.9997)]
    return np.log(np.array(rows, np.float32))


def test_old_alternatives_do_not_fill_the_beam():
    lm = Bigrams(["a", "b"], 3).model()
    decoder = BeamDecoder(LETTERS, BeamConfig(beam=16, lm_weight=0.1, open_vocabulary=False), lm)
    assert decoder.decode(hesitant(12))[0].words[-1] == "b"


@pytest.mark.parametrize("hypotheses", [1, 2, 4])
def test_a_narrow_beam_returns_the_requested_number_of_hypotheses(hypotheses):
    emission = hesitant(5)
    for seed in range(10):
        lm = Bigrams(["a", "b"], seed).model()
        exact = BeamDecoder(LETTERS, wide(open_vocabulary=False), lm).decode(emission)[:hypotheses]
        config = BeamConfig(beam=16 * hypotheses, hypotheses=hypotheses, open_vocabulary=False)
        narrow = BeamDecoder(LETTERS, config, lm)
        scores = [hypothesis.score for hypothesis in narrow.decode(emission)]
        assert scores == pytest.approx([hypothesis.score for hypothesis in exact], abs=0.02)


def test_a_batch_gives_what_its_utterances_give_whatever_the_threads():
    batch = [emissions(40, len(LETTERS), seed) for seed in range(12)]
    decoder = BeamDecoder(LETTERS, BeamConfig(hypotheses=3), Bigrams(["a", "ab", "b"], 1).model())
    alone = [[(h.text, h.score) for h in decoder.decode(emission)] for emission in batch]
    for threads in (1, 2, 5):
        assert [[(h.text, h.score) for h in found] for found in decoder.decode_batch(batch, threads)] == alone


@pytest.mark.parametrize("beam", [1, 2, 5, 40])
def test_weight_zero_and_bonus_zero_give_what_no_language_model_gives(beam):
    config = BeamConfig(beam=beam, lm_weight=0.0, word_bonus=0.0, unknown_penalty=0.0)
    lm = Bigrams(["a", "ab", "b", "ba"], 3).model()
    for seed in range(20):
        emission = emissions(50, len(LETTERS), seed, sharpness=3)
        with_lm, without = BeamDecoder(LETTERS, config, lm), BeamDecoder(LETTERS, config)
        assert with_lm.decode(emission)[0].text == without.decode(emission)[0].text
        assert with_lm.decode(emission)[0].score == pytest.approx(without.decode(emission)[0].score)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6), st.booleans())
def test_in_a_script_without_spaces_a_hotword_counts_anywhere(frames, seed, has_lm):
    emission, lm = emissions(frames, len(CHARACTERS), seed), Bigrams(["語", "言", "字"], seed)
    phrases = [Phrase("語言", 2.0), Phrase("字字", 1.0)]
    decoder = BeamDecoder(CHARACTERS, wide(lm_weight=0.7), lm.model() if has_lm else None, hotwords=phrases)
    wanted = {
        text: total
        + (0.7 * lm.score(list(text)) if has_lm else 0.0)
        + sum(phrase.boost * text.startswith(phrase.text, i) for phrase in phrases for i in range(len(text)))
        for text, total in texts(emission, CHARACTERS).items()
    }
    agree(found(decoder.decode(emission)), wanted)
