"""asr.config: recipes from TOML, and the errors for wrong ones."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asr.audio.config import FeatureConfig
from asr.config import Recipe, load_recipe
from asr.data.config import DataConfig, PrepareConfig, SplitConfig
from asr.errors import ConfigError
from asr.model.config import ModelConfig
from asr.text.config import TextConfig
from asr.training.config import TrainingConfig
from asr.utils.config_io import from_values, to_values, validate

RECIPES = sorted(Path(__file__).parent.parent.glob("recipes/*/config.toml"))


@pytest.fixture
def recipe(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_empty_recipe_has_the_defaults_below_its_folder(recipe, tmp_path):
    assert load_recipe(recipe("")) == Recipe(output=tmp_path / "run")


def test_values_of_a_recipe_and_defaults_for_the_rest(recipe):
    loaded = load_recipe(recipe('[model]\nwidth = 64\n[training]\nlearning_rate = 1\n[text.replace]\n"é" = "e"\n'))
    assert loaded.model == ModelConfig(width=64)
    assert loaded.training == TrainingConfig(learning_rate=1.0)
    assert loaded.text == TextConfig(replace={"é": "e"})
    assert loaded.features == FeatureConfig()


def test_paths_are_relative_to_the_recipe(recipe, tmp_path, monkeypatch):
    text = 'output = "../run"\n[data]\ntrain = ["a.jsonl", "/corpus/b.jsonl"]\ndev = ["sub/../c.jsonl"]\n'
    text += 'lexicon = "l.txt"\n[augment]\nnoise = "n"\n[training]\nwarm_start = "m.safetensors"\ncache = "../c"\n'
    paths = (tmp_path / "a.jsonl", Path("/corpus/b.jsonl")), (tmp_path / "c.jsonl",), tmp_path / "l.txt"
    loaded = load_recipe(recipe(text))
    assert (loaded.output, loaded.data) == (tmp_path.parent / "run", DataConfig(*paths))
    assert loaded.augment.noise == tmp_path / "n"
    assert (loaded.training.warm_start, loaded.training.cache) == (tmp_path / "m.safetensors", tmp_path.parent / "c")
    monkeypatch.chdir(tmp_path.parent)
    beside = load_recipe(Path(tmp_path.name, "config.toml"))
    assert beside.data.train[0] == Path(tmp_path.name, "a.jsonl")
    assert os.path.samefile(beside.output.parent, tmp_path.parent)


def test_frame_seconds_follow_from_hop_and_subsampling():
    recipe = Recipe(features=FeatureConfig(hop_seconds=0.0125), model=ModelConfig(subsampling=8))
    assert recipe.frame_seconds == pytest.approx(0.1)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_every_recipe_loads(path):
    loaded = load_recipe(path)
    assert loaded.data.train
    assert loaded.data.dev
    assert loaded.output.is_absolute()
    assert ".." not in loaded.output.parts


def test_recipes_exist():
    assert RECIPES


@pytest.mark.parametrize(
    "config",
    [
        Recipe(
            output=Path("out"),
            data=DataConfig(train=(Path("a.jsonl"), Path("b.jsonl")), max_seconds=12.5),
            text=TextConfig(alphabet="abc ", replace={"ß": "ss", "&": " and "}),
            model=ModelConfig(subsampling=8, dropout=0.0),
        ),
        PrepareConfig(),
        PrepareConfig(recipe=Path("recipe.toml"), split=SplitConfig(dev=0.1)),
    ],
)
def test_round_trip_by_json(config):
    values = json.loads(json.dumps(to_values(config)))
    assert from_values(type(config), values, "test") == config


WRONG = {
    "unknown key, with a suggestion": ("[model]\nwidht = 3", "unknown key 'model.widht'; did you mean 'model.width'?"),
    "unknown section": ("[modell]\nwidth = 3", "unknown key 'modell'; did you mean 'model'?"),
    "unknown key, with what there is": (
        "zzz = 1",
        "'zzz'; allowed: output, data, text, features, augment, model",
    ),
    "text for a number": ('[model]\nwidth = "3"', "model.width: Expected `int`, got `str`"),
    "a truth for a number": ("[model]\nwidth = true", "model.width: Expected `int`, got `bool`"),
    "a fraction for a whole number": ("[model]\nwidth = 1.5", "model.width: Expected `int`, got `float`"),
    "negative width": ("[model]\nwidth = -3", "model.width: Expected `int` >= 1"),
    "no learning rate": ("[training]\nlearning_rate = 0", "training.learning_rate: Expected `float` > 0.0"),
    "not a number": ("[training]\nlearning_rate = nan", "training.learning_rate: Expected `float` > 0.0"),
    "all dropped": ("[model]\ndropout = 1", "model.dropout: Expected `float` < 1.0"),
    "choice of numbers": (
        "[model]\nsubsampling = 5",
        "model.subsampling: Invalid enum value 5; allowed: 1, 2, 3, 4, 6, 8",
    ),
    "choice of names": ('[text]\nunits = "words"', "text.units: Invalid enum value 'words'; allowed: characters, bpe"),
    "a number for a path": ("output = 3", "output: expected str"),
    "one path for a list": ('[data]\ntrain = "a.jsonl"', "data.train: Expected `array`, got `str`"),
    "a number in a list": ('[data]\ntrain = ["a.jsonl", 3]', "data.train[1]: expected str"),
    "a number to replace by": ("[text.replace]\na = 3", "text.replace[...]: Expected `str`, got `int`"),
    "a number for a section": ("model = 3", "model: Expected `object`, got `int`"),
    "a list of sections": ("[[model]]\nwidth = 3", "model: Expected `object`, got `array`"),
    "a section for a value": ("[model.width]\nx = 3", "model.width: Expected `int`, got `object`"),
    "broken TOML": ("[model\nwidth = 3", "not valid TOML: Expected ']' at the end of a table declaration (at line 1"),
    "a key twice": ("[model]\nwidth = 3\nwidth = 4\n", "not valid TOML: Cannot overwrite a value (at line 3"),
}


@pytest.mark.parametrize(("text", "complaint"), WRONG.values(), ids=WRONG.keys())
def test_wrong_recipe_names_file_key_and_what_is_allowed(recipe, text, complaint):
    path = recipe(text)
    with pytest.raises(ConfigError) as error:
        load_recipe(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert complaint in message
    assert "\n" not in message


def test_recipe_that_is_not_text(recipe):
    path = recipe("")
    path.write_bytes(b"output = '\xff\xfe'")
    with pytest.raises(ConfigError, match=r"config\.toml: not UTF-8"):
        load_recipe(path)


@pytest.mark.parametrize(("name", "reason"), [("none.toml", "No such file"), (".", "Is a directory")])
def test_recipe_that_is_no_file(tmp_path, name, reason):
    with pytest.raises(ConfigError, match=rf"{reason}.*; give the path of a recipe"):
        load_recipe(tmp_path / name)


def test_a_value_in_place_of_a_section():
    with pytest.raises(ConfigError, match="model file: recipe: Expected `object`, got `array`"):
        from_values(ModelConfig, [], "model file")


def test_validate_holds_overrides_to_the_bounds():
    good = Recipe(model=ModelConfig(width=7))
    assert validate(good, "options") == good
    with pytest.raises(ConfigError, match=r"^options: model\.width: Expected `int` >= 1$"):
        validate(dataclasses.replace(good, model=ModelConfig(width=-7)), "options")


def test_values_hold_every_option_including_defaults():
    """A model file must not change its meaning when a default does."""
    recipe = from_values(Recipe, {"model": {"width": 7}}, "recipe")
    assert to_values(recipe) == to_values(dataclasses.replace(Recipe(), model=ModelConfig(width=7)))
    assert to_values(recipe)["model"]["layers"] == 3


@pytest.mark.parametrize(
    "seconds, recipe, frames",
    [
        (1.0, Recipe(), 26),  # 101 feature frames
        (0.99, Recipe(), 25),
        (0.0001, Recipe(), 1),
        (1.0, Recipe(features=FeatureConfig(sample_rate=8000, hop_seconds=0.0125)), 21),
        (1.0, Recipe(model=ModelConfig(subsampling=1)), 101),
    ],
)
def test_output_frames(seconds, recipe, frames):
    assert recipe.output_frames(seconds) == frames


def test_output_frames_are_those_of_the_model():
    import torch

    from asr.audio.features import LogMel
    from asr.model.acoustic_model import AcousticModel

    recipe = Recipe()
    samples = 12345
    frames = LogMel(recipe.features)(np.zeros(samples)).shape[0]
    model = AcousticModel(recipe.model, recipe.features.mels, tokens=2)
    expected = model.output_lengths(torch.tensor(frames)).item()
    assert recipe.output_frames(samples / recipe.features.sample_rate) == expected


def test_programs_of_version_0_1_find_the_options():
    code = "import asr; from asr.options import DecoderConfig; assert DecoderConfig is asr.DecoderConfig"
    subprocess.run([sys.executable, "-c", code], check=True)
