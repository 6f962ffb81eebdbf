"""Learning curves and rivals: what is trained on what, which model is kept, and the prediction of twice the data."""

import dataclasses
import json
from pathlib import Path

import pytest
from command_line import COMPLETE, ERROR, assert_told

from asr.config import Recipe, load_recipe
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.errors import ConfigError
from asr.evaluation.alignment import ErrorCounts
from asr.evaluation.learning_curve import Point, predict
from asr.evaluation.rival import train_best, with_rival, with_whole_alphabet
from asr.text.config import TextConfig
from asr.training.dev_set import DevResult


def points(rates, words=10_000) -> list[Point]:
    return [Point(1, 10.0 * 2**n, 1.0, ErrorCounts(round(rate * words), 0, 0, words)) for n, rate in enumerate(rates)]


def test_a_power_law_is_continued():
    assert predict(points([0.4, 0.2, 0.1]), 80.0) == pytest.approx(0.05, rel=0.01)
    assert predict(points([0.2, 0.2, 0.2]), 80.0) == pytest.approx(0.2, rel=0.01)
    assert 0 < predict(points([0.1, 0.02, 0.0]), 80.0) < 0.02


def test_more_data_are_not_predicted_to_do_harm():
    assert predict(points([0.1, 0.12, 0.11]), 80.0) <= 0.12


def test_a_part_without_a_character_of_dev_has_it_in_its_alphabet(tmp_path):
    texts = {"train": ("a b", "Ab"), "dev": ("c", "d!")}
    manifests = [
        write_manifest(
            tmp_path / f"{name}.jsonl", [Utterance(f"u{n}", Path("x"), 1.0, text) for n, text in enumerate(part)]
        )
        for name, part in texts.items()
    ]
    assert with_whole_alphabet(Recipe(), manifests).text.alphabet == " abcd"
    for text in (TextConfig(alphabet="ab "), TextConfig(units="bpe")):
        assert with_whole_alphabet(Recipe(text=text), manifests).text == text


@pytest.fixture
def recipe(tmp_path, noise_file) -> Path:
    utterances = [Utterance(f"u{n}", noise_file(f"u{n}.wav", seed=n), 1.0, "a b", "s") for n in range(8)]
    for name, part in (("train", utterances), ("dev", utterances[:2])):
        write_manifest(tmp_path / f"{name}.jsonl", part)
    data = '[data]\ntrain = ["train.jsonl"]\ndev = ["dev.jsonl"]\n'
    (tmp_path / "mine.toml").write_text(f'rival = "other.toml"\noutput = "mine"\n{data}')
    (tmp_path / "other.toml").write_text(f'output = "other"\n{data}')
    return tmp_path / "mine.toml"


@pytest.fixture
def trained(monkeypatch, model_path) -> list:
    """Trainings, in place of which a model without training is written; the rival's dev WER is 2%, the other's 3%."""
    done = []

    def train(recipe):
        done.append(recipe)
        recipe.output.mkdir(parents=True, exist_ok=True)
        (recipe.output / "model.safetensors").write_bytes(model_path.read_bytes())
        rates = {"trials": [{"wer": 0.03 if recipe.rival else 0.02}]}
        (recipe.output / "decoder.json").write_text(json.dumps(rates))
        return recipe.output / "model.safetensors"

    monkeypatch.setattr("asr.evaluation.rival.train", train)
    return done


def test_the_model_with_fewer_errors_on_dev_is_the_result(recipe, trained, asr):
    assert train_best(with_rival(load_recipe(recipe))).parent.name == "other" and len(trained) == 2
    result = asr("train", recipe)
    assert "3.00%" in result.stderr and "2.00%" in result.stderr
    assert result.stdout.split() == ["model", str(recipe.parent / "other" / "model.safetensors")]


def test_a_rival_has_an_output_of_its_own_and_no_rival(recipe):
    for wrong in ('output = "mine"', 'rival = "mine.toml"\noutput = "third"'):
        recipe.with_name("other.toml").write_text(wrong)
        with pytest.raises(ConfigError, match=r"other\.toml"):
            with_rival(load_recipe(recipe))


def test_a_rival_without_data_is_refused_before_anything_is_trained(recipe, trained, asr):
    recipe.with_name("other.toml").write_text('output = "other"\n')
    assert_told(asr("train", recipe), ERROR, f"{recipe.with_name('other.toml')}: data.train names no manifest")
    assert not trained


def test_each_share_of_the_training_data_has_a_model(recipe, trained, asr, tmp_path):
    manifest, output = tmp_path / "dev.jsonl", tmp_path / "curve"
    assert_told(asr("evaluate", manifest, "--learning_curve", "-o", output), ERROR, "--recipe")
    assert_told(asr("evaluate", manifest, "--learning_curve", "--recipe", recipe), ERROR, "--output")
    result = asr("evaluate", manifest, "--learning_curve", "--recipe", recipe, "-o", output)
    assert result.returncode == COMPLETE, result.stderr
    used = [{u.id for path in each.data.train for u in read_manifest(path)} for each in trained[::2]]
    assert list(map(len, used)) == [2, 4, 8] and used[0] < used[1] < used[2]
    assert "predicted WER" in result.stdout
    assert len(json.loads((output / "learning_curve.json").read_text())["points"]) == 3


def test_models_are_chosen_by_phones_if_they_have_any_or_by_characters_in_a_script_without_spaces():
    spaced = DevResult(wer=0.5, cer=0.1, per=None, blank_rate=0.9, hypotheses=[], priors=())
    assert spaced.error == 0.5 and dataclasses.replace(spaced, unspaced=True).error == 0.1
    assert dataclasses.replace(spaced, per=0.3).error == 0.3
