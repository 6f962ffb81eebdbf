"""N-best rescoring: scores equal those of both models word by word, whatever is shared between hypotheses."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from asr.decoding.beam import BeamDecoder, Hypothesis
from asr.decoding.config import BeamConfig, DecoderConfig
from asr.decoding.decoder import DecodedWord, Decoding, WordDecoder, make_decoder
from asr.decoding.rescoring import Rescorer
from asr.errors import ConfigError
from asr.lm.config import LmConfig, RecurrentConfig
from asr.lm.ngram import NgramModel
from asr.lm.recurrent import RecurrentModel
from asr.lm.recurrent_file import RecurrentFile
from asr.lm.recurrent_network import RecurrentNetwork
from asr.lm.training import train_model
from asr.recognition.pipeline import Ending, Part, decode_segments
from asr.text.config import TextConfig
from asr.text.tokenizer import CharacterTokenizer

WORDS = ("<unk>", "</s>", "ab", "ba", "aa", "bb")  # "abba" only the n-grams have


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "text.txt"
    path.write_text("ab ba aa\nbb ab abba\naa bb ba ab\nba ba ab aa bb\n" * 3)
    ngrams = NgramModel.from_trie(train_model([path], LmConfig(order=2)).trie)
    torch.manual_seed(4)
    network = RecurrentNetwork("lstm", len(WORDS), RecurrentConfig(units=8)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(5)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items() if name != "state"}
    return ngrams, RecurrentModel(RecurrentFile(weights, "lstm", WORDS, "basic", False, {}))


def hypothesis(text: str, score: float = 0.0) -> Hypothesis:
    words = tuple(text.split())
    return Hypothesis(text, words, score, score, 0.0, (), ())


def by_hand(ngrams, model, words, share):
    """ln P of a sentence by both models, one word at a time."""
    total, read, state = 0.0, 1, model.start()
    for word, (ngram, _) in zip([*words, "</s>"], ngrams.score(words), strict=True):
        outputs, state = model.move(np.array([[read]]), state)
        read = model.index.get(word, 0)
        recurrent = model.log_probabilities(outputs[0])[0][read] if read else ngram
        total += np.log((1 - share) * np.exp(ngram) + share * np.exp(recurrent))
    return total


def test_scores_are_those_of_both_models(models):
    texts = ["ab ba aa", "ab ba bb", "abba ba aa", "ab ba aa bb", "", "ba"]
    config = BeamConfig(lm_weight=0.8, rescore_share=0.3, rescore_weight=1.5)
    ranked = Rescorer(models[1], models[0]).rank([hypothesis(text) for text in texts], config)
    assert sorted(place for place, _ in ranked) == list(range(len(texts)))
    assert [each.score for _, each in ranked] == sorted((each.score for _, each in ranked), reverse=True)
    for place, each in ranked:
        assert each.text == texts[place]
        assert each.lm == pytest.approx(by_hand(*models, each.words, 0.3), abs=1e-4)
        assert each.score == pytest.approx(0.8 * (1.5 * each.lm - by_hand(*models, each.words, 0.0)), abs=1e-4)


def test_without_a_share_nothing_changes(models):
    hypotheses = [hypothesis("ab ba", -1.0), hypothesis("ba ab", -2.0)]
    ranked = Rescorer(models[1], models[0]).rank(hypotheses, BeamConfig(lm_weight=1.0, rescore_share=0.0))
    assert [each.text for _, each in ranked] == ["ab ba", "ba ab"]
    assert [each.score for _, each in ranked] == [-1.0, -2.0]


def test_the_decoder_gives_times_and_confidence_of_the_rescored_best(models):
    tokenizer = CharacterTokenizer("ab ")
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(60, len(tokenizer.pieces))) * 2
    emission = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
    config = BeamConfig(lm_weight=1.0, open_vocabulary=False, hypotheses=5, rescored=20, rescore_share=0.9)
    plain = BeamDecoder(tokenizer.pieces, dataclasses.replace(config, hypotheses=20), models[0])
    rescoring = BeamDecoder(tokenizer.pieces, config, models[0], rescorer=Rescorer(models[1], models[0]))
    before, after = plain.decode(emission), rescoring.decode(emission)
    expected = [each for _, each in Rescorer(models[1], models[0]).rank(before, config)][:5]
    assert [each.text for each in after] == [each.text for each in expected]
    assert after[0].text != before[0].text, "this case must change the best hypothesis"
    assert len(after[0].shares) == len(after[0].words)
    (decoding,) = WordDecoder(rescoring).decode_batch([emission])
    assert decoding.text == after[0].text == " ".join(word.text for word in decoding.words)
    assert all(0 < word.confidence <= 1 and word.start < word.end for word in decoding.words)


def test_rescoring_needs_the_language_model_of_the_search(tmp_path):
    config = DecoderConfig(decoder="beam", rescore=tmp_path / "lm.safetensors")
    with pytest.raises(ConfigError, match=r"--rescore .*add --lm"):
        make_decoder(config, CharacterTokenizer("ab "), TextConfig())
    with pytest.raises(ConfigError, match="--rescore"):
        make_decoder(dataclasses.replace(config, decoder="greedy"), CharacterTokenizer("ab "), TextConfig())


def test_words_before_the_utterance_are_read(models):
    """`before` moves the state: as if the model had read them, and a sentence end, before the sentence."""
    ngrams, model = models
    (scores,) = Rescorer(model, ngrams).word_scores([hypothesis("ab ba")], ["bb", "aa"])
    state, found = model.start(), []
    for read, target in zip([1, 5, 4, 1, 2, 3], [5, 4, 1, 2, 3, 1], strict=True):
        outputs, state = model.move(np.array([[read]]), state)
        found.append(model.log_probabilities(outputs[0])[0][target])
    np.testing.assert_allclose(scores[1], found[3:], atol=1e-5)
    (alone,) = Rescorer(model, ngrams).word_scores([hypothesis("ab ba")])
    assert not np.allclose(alone[1], scores[1], atol=1e-3)
    np.testing.assert_array_equal(alone[0], scores[0])


def test_segments_of_a_recording_carry_their_words_on(models):
    decoder = WordDecoder(
        BeamDecoder(
            CharacterTokenizer("ab ").pieces,
            BeamConfig(lm_weight=1.0, open_vocabulary=False, rescore_share=0.9, rescore_context=3),
            models[0],
            rescorer=Rescorer(models[1], models[0]),
        )
    )
    given = []
    decoder.decode = lambda emission, before: (
        given.append(before) or Decoding("", (DecodedWord(f"w{len(given)}", 0, 1, 1.0), DecodedWord("x", 1, 2, 1.0)))
    )
    window = SimpleNamespace(ends_segment=True)
    endings = (None, None, Ending(), Ending())  # three segments of a recording, and one of another
    parts = [Part("a", np.zeros((2, 4)), window, ending) for ending in endings]
    found = list(decode_segments(decoder, parts, None))
    assert len(found) == 4
    assert given == [(), ("w1", "x"), ("x", "w2", "x"), ()]
