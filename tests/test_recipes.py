"""Recipes: `expected.json` has the result of a run, and a trained model in `data/` still reaches it."""

import json
from pathlib import Path

import pytest

from asr.config import load_recipe
from asr.evaluation.config import EvaluateConfig
from asr.evaluation.evaluate_model import assess

ROOT = Path(__file__).parent.parent
RECIPES = sorted(path.parent for path in (ROOT / "recipes").glob("*/config.toml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_each_recipe_has_its_expected_result_and_command(recipe):
    expected = json.loads((recipe / "expected.json").read_text())
    assert 0 < expected["dev"]["wer"] < 1 and expected["command"] and expected["machine"]
    assert f"{expected['dev']['wer']:.2%}" in (recipe / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_model_that_was_trained_reaches_it(recipe):
    """Another run, or another processor, may differ a little; a broken one differs a lot."""
    expected = json.loads((recipe / "expected.json").read_text())["dev"]
    model = load_recipe(recipe / "config.toml").output / "model.safetensors"
    manifest = ROOT / "data" / expected["manifest"]
    if not (model.exists() and manifest.exists()):
        pytest.skip(f"recipes/{recipe.name} has not been run here: no {model.name} or no {manifest.name} in data/")
    wer = assess(manifest, model, None, EvaluateConfig()).evaluation.words.rate
    assert wer < expected["wer"] + 0.03
