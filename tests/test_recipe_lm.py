"""The study of language models: its gradients, and that README.md quotes expected.json."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from asr.lm.config import RecurrentConfig
from asr.lm.recurrent_file import RecurrentFile
from asr.lm.recurrent_network import RecurrentNetwork

RECIPE = Path(__file__).parent.parent / "recipes" / "lm"


@pytest.fixture(scope="module")
def study():
    specification = importlib.util.spec_from_file_location("lm_study", RECIPE / "study.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_gradients_reach_as_far_as_the_recurrent_matrix_carries_them(study, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and the dog ran\n" * 20)
    words = ("<unk>", "</s>", "the", "cat", "dog")
    torch.manual_seed(1)
    network = RecurrentNetwork("rnn", len(words), RecurrentConfig(units=8))

    def shares(scale):
        weights = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items() if name != "state"}
        weights["recurrent.weight_hh_l0"] *= scale
        return study.gradient_shares(RecurrentFile(weights, "rnn", words, "basic", False, {}), text)

    forgetful, remembering = shares(0.0), shares(1.0)
    assert len(forgetful) == len(remembering) == study.DISTANCES
    assert sum(remembering) == pytest.approx(1.0)
    assert forgetful[0] == pytest.approx(1.0) and max(forgetful[1:]) == 0.0
    assert remembering[0] < 0.9 and remembering[3] > 0.0


def test_the_text_is_divided_into_its_first_and_last_lines(study, tmp_path):
    text, train, test = (tmp_path / name for name in ("text.txt", "train.txt", "test.txt"))
    text.write_text("".join(f"line {number}\n" for number in range(10)))
    study.divide(text, train, test, 3, 2)
    assert train.read_text() == "line 0\nline 1\nline 2\n"
    assert test.read_text() == "line 8\nline 9\n"
    with pytest.raises(SystemExit, match=r"10 lines, fewer"):
        study.divide(text, train, test, 9, 2)


def test_the_readme_has_the_expected_figures():
    expected = json.loads((RECIPE / "expected.json").read_text())
    readme = (RECIPE / "README.md").read_text()
    assert expected["command"] and expected["machine"]
    for kind in ("rnn", "gru", "lstm"):
        results = expected["results"][kind]
        for perplexity in (results["sentence"], results["carried"], *results["context"].values()):
            assert f"{perplexity:.1f}" in readme, (kind, perplexity)
    for perplexity in expected["results"]["ngram"].values():
        assert f"{perplexity:.1f}" in readme
