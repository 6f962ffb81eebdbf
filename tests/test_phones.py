"""A network with a phone layer: training, output, and the requirements on its lexicon."""

import dataclasses
import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tones import TONES, write_corpus

from asr.audio.config import AugmentConfig, FeatureConfig
from asr.config import Recipe
from asr.data.config import DataConfig
from asr.data.dataset import load_corpora
from asr.data.manifest import read_manifest
from asr.decoding.beam import BeamDecoder
from asr.decoding.config import BeamConfig, DecoderConfig
from asr.decoding.lexicon import Lexicon
from asr.errors import TextError, TrainingError
from asr.model.acoustic_model import AcousticModel
from asr.model.config import ModelConfig
from asr.model.model_file import ModelFile, load_model, save_model
from asr.recognition.recognizer import Recognizer
from asr.text.config import TextConfig
from asr.text.phones import Phones, phone_of, units_of
from asr.text.tokenizer import CharacterTokenizer
from asr.training.checkpoint import warm_start
from asr.training.config import TrainingConfig
from asr.training.trainer import train

WORDS = ["".join(letters) for length in range(1, 5) for letters in itertools.product(TONES, repeat=length)]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Recipe:
    """The language of tones, a phone for each letter."""
    folder = tmp_path_factory.mktemp("phones")
    lexicon = folder / "lexicon.txt"
    lexicon.write_text("".join(f"{word}  {' '.join(f'{letter.upper()}1' for letter in word)}\n" for word in WORDS))
    return Recipe(
        folder / "run",
        DataConfig((write_corpus(folder, "train", 60, 0),), (write_corpus(folder, "dev", 12, 1),), lexicon),
        features=FeatureConfig(mels=20),
        augment=AugmentConfig(time_masks=1, time_mask_share=0.05, frequency_masks=1, frequency_mask_mels=2),
        model=ModelConfig(subsampling=2, channels=4, layers=2, width=24, dropout=0.1, phone_layer=1),
        training=TrainingConfig(epochs=30, patience=30, batch_seconds=4, learning_rate=1e-2, workers=0),
    )


@pytest.mark.slow
def test_it_learns_letters_and_phones_and_words_are_found_by_either(recipe):
    path = train(recipe)
    records = [json.loads(line) for line in (path.parent / "metrics.jsonl").read_text().splitlines()]
    assert min(record["dev_per"] for record in records if record["kind"] == "epoch") < 0.2
    assert load_model(path).phones == ("", "A1", "B1", "C1")
    recordings = read_manifest(recipe.data.dev[0])
    by_phones = DecoderConfig(lexicon=recipe.data.lexicon)
    for decoder in (DecoderConfig(), by_phones, dataclasses.replace(by_phones, beam=BeamConfig(prior_scale=0.3))):
        recognizer = Recognizer.load(path, decoder=decoder)
        right = [recognizer.transcribe(each.audio_filepath).text == each.text for each in recordings]
        assert np.mean(right) > 0.6, decoder


def test_tokens_and_phones_have_probabilities_of_their_own():
    torch.manual_seed(0)
    config = ModelConfig(channels=3, layers=2, width=8, phone_layer=1)
    model = AcousticModel(config, mels=10, tokens=6, phones=4).eval()
    output, _ = model(torch.randn(2, 30, 10), torch.tensor([30, 20]))
    assert output.shape[-1] == 10
    for part in output.split([6, 4], dim=-1):
        torch.testing.assert_close(part.exp().sum(dim=-1), torch.ones(2, output.shape[1]))


def test_layers_above_depend_on_the_phones_and_those_below_do_not():
    torch.manual_seed(0)
    model = AcousticModel(ModelConfig(channels=3, layers=3, width=8, phone_layer=2), 10, tokens=6, phones=4).eval()
    features, lengths = torch.randn(1, 30, 10), torch.tensor([30])
    with torch.no_grad():
        before = model.layer_outputs(features, lengths)
        model.phone_head.weight.neg_()
        after = model.layer_outputs(features, lengths)
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False]


@pytest.mark.slow
def test_it_learns_phones_in_context_beginning_with_a_network_without_them(recipe, tmp_path):
    """From the network of the first test: no phone is forgotten when it is split."""
    data = dataclasses.replace(recipe.data, phone_contexts=5)
    training = dataclasses.replace(recipe.training, epochs=10, warm_start=train(recipe), learning_rate=5e-3)
    path = train(dataclasses.replace(recipe, output=tmp_path / "run", data=data, training=training))
    phones = load_model(path).phones
    assert len(phones) == 10 and Counter(map(phone_of, phones)) == {"": 1, "A1": 3, "B1": 3, "C1": 3}
    records = [json.loads(line) for line in (path.parent / "metrics.jsonl").read_text().splitlines()]
    assert records[-2]["dev_per"] < 0.1, "the errors are those of phones, whatever their context"
    recordings = read_manifest(recipe.data.dev[0])
    # Without a language model, one word more would cost nothing.
    decoder = DecoderConfig(lexicon=recipe.data.lexicon, beam=BeamConfig(word_bonus=-1.0))
    recognizer = Recognizer.load(path, decoder=decoder)
    right = [recognizer.transcribe(each.audio_filepath).text == each.text for each in recordings]
    assert np.mean(right) > 0.6


def test_a_phone_that_is_split_by_context_keeps_its_probability(tmp_path):
    torch.manual_seed(0)
    config, names = ModelConfig(channels=3, layers=2, width=8, phone_layer=1), ["", "AH", "B"]
    split = ["", "#-AH", "AH", "B", "C-AH", "V-B"]
    tokenizer, sound = CharacterTokenizer("ab"), (torch.randn(2, 30, 10), torch.tensor([30, 20]))
    tokens = len(tokenizer.pieces)
    whole, parts = (AcousticModel(config, 10, tokens, len(phones)).eval() for phones in (names, split))
    contents = ModelFile(whole.weights(), FeatureConfig(mels=10), TextConfig(), config, tokenizer, {}, tuple(names))
    save_model(tmp_path / "whole.safetensors", contents)
    warm_start(parts, tokenizer, split, tmp_path / "whole.safetensors")
    with torch.no_grad():
        expected, found = (model(*sound)[0] for model in (whole, parts))
    torch.testing.assert_close(found[..., :tokens], expected[..., :tokens])
    for phone, name in enumerate(names):
        same = [tokens + unit for unit, each in enumerate(split) if phone_of(each) == name]
        torch.testing.assert_close(found[..., same].logsumexp(dim=-1), expected[..., tokens + phone])


LEXICON = {"a": [("AH",)], "about": [("AH", "B", "AW", "T")], "tab": [("T", "AE", "B")], "bat": [("B", "AE", "T")]}


def test_phones_in_context_are_those_that_are_frequent():
    phones = Phones(LEXICON).in_context(["a tab", "a about", "bat", "unheard of"], 2)
    # AH is always at the beginning, AE after a consonant, B and T twice after a vowel and once at the beginning.
    assert phones.pieces == ["", "AE", "AH", "AW", "B", "T"]
    phones = Phones(LEXICON).in_context(["a tab", "a about", "bat", "unheard of"], 1)
    assert phones.pieces == ["", "#-B", "#-T", "AE", "AH", "AW", "B", "T"]
    assert [phones.pieces[index] for index in phones.encode("bat tab")] == ["#-B", "AE", "T", "#-T", "AE", "B"]


@given(st.lists(st.sampled_from(["AH", "B", "T", "V-AH", "ZH"]), max_size=8))
def test_the_phones_of_units_are_those_of_the_word(names):
    pronunciation = [name for name in names if name == phone_of(name)]
    inventory = {"AH", "B", "T", "ZH", "#-B", "V-B", "C-AH", "V-T"}
    units = units_of(pronunciation, inventory)
    assert set(units) <= inventory and list(map(phone_of, units)) == pronunciation


def test_a_lexicon_of_phones_serves_a_network_with_contexts():
    pieces = ["", "#-B", "#-T", "AE", "AH", "AW", "B", "T"]
    entries = [(word, names) for word, variants in LEXICON.items() for names in variants]
    lexicon = Lexicon.of_pronunciations([*entries, ("bats", ("B", "AE1", "T"))], pieces)
    assert lexicon.pronunciations(pieces) == {**LEXICON, "bats": [("B", "AE", "T")]}
    log_probabilities = np.full((3, len(pieces)), -9.0, np.float32)
    log_probabilities[range(3), [pieces.index(unit) for unit in ("#-T", "AE", "B")]] = 0
    decoder = BeamDecoder(pieces, BeamConfig(open_vocabulary=False), lexicon=lexicon)
    assert decoder.decode(log_probabilities)[0].text == "tab"
    more = lexicon.with_words([("tat", ("T", "AE", "T"))], pieces)
    assert more.pronunciations(pieces) == {**lexicon.pronunciations(pieces), "tat": [("T", "AE", "T")]}


def test_phones_of_a_text():
    phones = Phones({"read": [("R", "EH", "D"), ("R", "IY", "D")], "a": [("AH",)]})
    assert phones.pieces == ["", "AH", "D", "EH", "IY", "R"]
    assert phones.encode("read a") == [5, 3, 2, 1], "the first pronunciation"
    assert phones.lacking(["read a book", "book"]) == {"book": 2}
    with pytest.raises(TextError, match="no pronunciation of 'book'"):
        phones.encode("a book")


def test_words_without_a_pronunciation_are_named(recipe, tmp_path: Path):
    short = tmp_path / "short.txt"
    short.write_text("a  A1\n")
    with pytest.raises(TrainingError, match=r"words that .*short.txt lacks: '[abc]+' \(\d+\).*asr lexicon"):
        load_corpora(dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, lexicon=short)))


def test_a_phone_layer_needs_a_lexicon_and_a_lexicon_a_phone_layer(recipe):
    no_layer = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, phone_layer=0))
    no_lexicon = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, lexicon=None))
    for lacking in (no_layer, no_lexicon):
        with pytest.raises(TrainingError, match="need each other"):
            load_corpora(lacking)


def test_a_phone_layer_is_one_of_the_layers():
    with pytest.raises(ValueError, match="phone_layer: must be at most layers"):
        ModelConfig(layers=2, phone_layer=3)
