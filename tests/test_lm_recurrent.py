"""Recurrent language models: training that resumes with identical weights, perplexity, sampling, files."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest
import torch
from command_line import COMPLETE, ERROR, assert_told

from asr.errors import Interrupted, TrainingError
from asr.lm.config import LmTrainConfig, PerplexityConfig, RecurrentConfig
from asr.lm.recurrent import RecurrentModel
from asr.lm.recurrent_file import RecurrentFile, write_recurrent
from asr.lm.recurrent_network import RecurrentNetwork, sampling
from asr.lm.recurrent_perplexity import measure_recurrent
from asr.lm.sampling import draw
from asr.training.language_model import train_recurrent

WORDS = ("<unk>", "</s>", "the", "cat", "dog", "sat", "ran")


def weights_of(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items() if name != "state"}


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(("layers", "embedding"), [(1, 0), (2, 0), (2, 6)])
@pytest.mark.parametrize(("int8", "tolerance"), [(False, 1e-5), (True, 0.02)])
def test_onnx_runtime_computes_what_pytorch_does(kind, layers, embedding, int8, tolerance):
    torch.manual_seed(1)
    config = RecurrentConfig(units=8, embedding=embedding, layers=layers, lanes=3)
    network = RecurrentNetwork(kind, len(WORDS), config).eval()
    model = RecurrentModel(RecurrentFile(weights_of(network), kind, WORDS, "basic", False, {}), int8)
    state = model.start(3)
    for words in torch.randint(len(WORDS), (2, 5, 3)):  # the second passage goes on from the state of the first
        with torch.inference_mode():
            expected = network(words)
            logits = expected @ network.embedding.weight.T + network.bias
        outputs, state = model.move(words.numpy(), state)
        np.testing.assert_allclose(outputs, expected.numpy(), atol=tolerance)
        np.testing.assert_allclose(state, network.state.numpy(), atol=tolerance)
        scores = model.log_probabilities(outputs.reshape(-1, embedding or 8))
        np.testing.assert_allclose(scores, torch.log_softmax(logits, -1).flatten(0, 1).numpy(), atol=10 * tolerance)


@pytest.fixture
def text(tmp_path):
    """Two sentences in random order."""
    path = tmp_path / "text.txt"
    generator = np.random.default_rng(1)
    path.write_text(
        "".join(f"{who} {'sat' if who == 'cat' else 'ran'}\n" for who in generator.choice(["cat", "dog"], 3000))
    )
    return path


OPTIONS = ("--units", 8, "--updates", 40, "--lanes", 8, "--span", 8, "--precision", "float32")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_training_finds_the_rule_and_ngrams_agree(asr, text, tmp_path, kind):
    model = tmp_path / "lm.safetensors"
    result = asr("lm", "train", text, "-o", model, "--kind", kind, *OPTIONS, "--learning_rate", 0.05, "--updates", 200)
    assert result.returncode == COMPLETE, result.stderr
    # A coin per sentence of three predictions: a perplexity of two to the third of one, at best.
    shown = asr("lm", "perplexity", model, text)
    assert shown.returncode == COMPLETE
    assert 2 ** (1 / 3) - 0.01 < float(shown.stdout.split()[1]) < 1.35
    written = asr("lm", "sample", model, "--length", 40, "--seed", 3)
    assert written.returncode == COMPLETE
    assert sum(line in ("cat sat", "dog ran") for line in written.stdout.splitlines()) > 15
    assert asr("lm", "sample", model, "--length", 40, "--seed", 3).stdout == written.stdout
    shown = asr("info", model).stdout.splitlines()
    assert shown[0].startswith(f"language model   {model} (")
    assert " ".join(shown[1].split()) == f"network {kind}, 1 x 8, word vectors of 8"


@pytest.mark.slow
def test_resuming_ends_with_identical_weights(text, tmp_path, monkeypatch):
    config = LmTrainConfig(
        kind="lstm",
        recurrent=RecurrentConfig(units=8, updates=20, measure=10, lanes=8, span=8, samples=3, precision="float32"),
    )
    whole = train_recurrent([text], config, tmp_path / "whole.safetensors")
    asked = iter([False] * 6 + [True] * 2)
    monkeypatch.setattr("asr.training.text_run.interruptible", lambda: contextlib.nullcontext(lambda: next(asked)))
    with pytest.raises(Interrupted, match="update 7"):
        train_recurrent([text], config, tmp_path / "parts.safetensors")
    asked = iter([False] * 20)
    parts = train_recurrent([text], config, tmp_path / "parts.safetensors")
    for name, array in whole.weights.items():
        np.testing.assert_array_equal(array, parts.weights[name], err_msg=name)
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "parts-run/metrics.jsonl").read_text().splitlines()]
    assert kinds.count("epoch") == 2
    assert list((tmp_path / "parts-run/tensorboard").iterdir())

    (tmp_path / "parts.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"parts\.safetensors: missing, but its run is finished"):
        train_recurrent([text], config, tmp_path / "parts.safetensors")
    other = dataclasses.replace(config, recurrent=dataclasses.replace(config.recurrent, units=16))
    with pytest.raises(TrainingError, match="units = 8, now it is 16"):
        train_recurrent([text], other, tmp_path / "parts.safetensors")


def test_training_goes_on_from_a_base(text, tmp_path):
    """With a learning rate too low to change anything, words, sizes and weights are the base's, up to rounding."""
    options = RecurrentConfig(units=8, embedding=6, updates=2, lanes=8, span=8, precision="float32")
    first = train_recurrent([text], LmTrainConfig(kind="gru", recurrent=options), tmp_path / "first.safetensors")
    other = tmp_path / "other.txt"
    other.write_text("The cow sat.\n" * 1000)
    options = RecurrentConfig(
        base=tmp_path / "first.safetensors", updates=2, lanes=8, span=8, precision="float32", learning_rate=1e-9
    )
    second = train_recurrent([other], LmTrainConfig(kind="lstm", recurrent=options), tmp_path / "second.safetensors")
    assert second.words == first.words and "cow" not in second.words
    assert (second.kind, second.layers, second.units, second.embedding) == ("gru", 1, 8, 6)
    for name, array in first.weights.items():
        np.testing.assert_allclose(second.weights[name], array, atol=0.01, err_msg=name)
    assert second.training["base"] == first.training


@pytest.mark.slow
def test_training_for_some_minutes_ends_in_time(text, tmp_path):
    """The learning rate reaches zero with the time, whatever the number of updates."""
    options = RecurrentConfig(units=8, embedding=6, minutes=0.05, lanes=8, span=8, samples=3, precision="float32")
    train_recurrent([text], LmTrainConfig(kind="lstm", recurrent=options), tmp_path / "lm.safetensors")
    lines = (tmp_path / "lm-run/metrics.jsonl").read_text().splitlines()
    records = [each for each in map(json.loads, lines) if each["kind"] == "train"]
    rates = [each["learning_rate"] for each in records]
    assert max(rates) > 0.002 and rates[-1] < 0.0005
    end = json.loads(lines[-1])
    assert end["kind"] == "epoch" and 3 <= end["seconds"] < 30
    train_recurrent([text], LmTrainConfig(kind="lstm", recurrent=options), tmp_path / "lm.safetensors")
    assert len((tmp_path / "lm-run/metrics.jsonl").read_text().splitlines()) == len(lines) + 1, "finished: only a start"


@pytest.mark.parametrize(("words", "samples"), [(50, 10), (50, 45)])
def test_samples_are_corrected_by_how_often_they_are_drawn(words, samples):
    torch.manual_seed(1)
    shares, chances = sampling(words, samples)
    drawn = torch.zeros(words)
    for _ in range(4000):
        drawn[torch.multinomial(shares, samples)] += 1
    np.testing.assert_allclose(chances.exp().numpy(), drawn.numpy() / 4000, rtol=0.15, atol=0.03)


def test_sampled_softmax_with_nearly_all_words_is_the_full_one():
    torch.manual_seed(1)
    network = RecurrentNetwork("rnn", 200, RecurrentConfig(units=8)).eval()
    outputs, targets = torch.randn(4, 5, 8), torch.randint(200, (4, 5))
    with torch.inference_mode():
        full, sampled = network.loss(outputs, targets, 0).item(), network.loss(outputs, targets, 198).item()
    assert sampled == pytest.approx(full, rel=0.02)


def test_perplexity_by_sentence_in_order_and_in_windows(tmp_path):
    torch.manual_seed(2)
    network = RecurrentNetwork("lstm", len(WORDS), RecurrentConfig(units=8, lanes=1)).eval()
    model = RecurrentModel(RecurrentFile(weights_of(network), "lstm", WORDS, "basic", False, {}))
    path = tmp_path / "text.txt"
    path.write_text("the cat sat\nthe zebra ran\n")
    ids = [1, 2, 3, 5, 1, 2, 0, 6, 1]

    def scores(words):
        """ln P of each word after those before it, by PyTorch."""
        network.forget()
        with torch.inference_mode():
            outputs = network(torch.tensor(words[:-1])[:, None])[:, 0]
            logits = torch.log_softmax(outputs @ network.embedding.weight.T + network.bias, -1)
        return logits[range(len(words) - 1), words[1:]].tolist()

    by_sentence = measure_recurrent(model, [path], PerplexityConfig())
    assert by_sentence.logp == pytest.approx(sum(scores(ids[:5]) + scores(ids[4:])), abs=1e-4)
    assert (by_sentence.words, by_sentence.sentences, by_sentence.unknown) == (6, 2, 1)
    in_order = measure_recurrent(model, [path], PerplexityConfig(carry=True))
    assert in_order.logp == pytest.approx(sum(scores(ids)), abs=1e-4)
    windows = measure_recurrent(model, [path], PerplexityConfig(context=2))
    padded = [1, *ids]
    expected = sum(scores(padded[first : first + 3])[-1] for first in range(len(ids) - 1))
    assert windows.logp == pytest.approx(expected, abs=1e-4)


def test_sampling_draws_by_temperature_and_top_p():
    scores, generator = np.log([0.5, 0.3, 0.15, 0.05]), np.random.default_rng(1)
    drawn = np.bincount([draw(scores, 1.0, generator) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(drawn, [0.5, 0.3, 0.15, 0.05], atol=0.03)
    assert {draw(scores, 0.7, generator) for _ in range(200)} == {0, 1}
    assert {draw(scores / 0.01, 1.0, generator) for _ in range(50)} == {0}


def test_sampling_from_ngrams(asr, text, tmp_path):
    model = tmp_path / "lm.asrlm"
    assert asr("lm", "train", text, "-o", model).returncode == COMPLETE
    result = asr("lm", "sample", model, "--prompt", "Dog", "--length", 9, "--seed", 1)
    assert result.returncode == COMPLETE, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "dog ran"
    assert set(lines) <= {"cat sat", "dog ran", "cat", "dog"}
    assert_told(asr("lm", "sample", model, "--prompt", "zebra"), ERROR, "--prompt", "zebra")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--kind", "lstm", "-o", "lm.arpa"), ("lm.arpa", ".safetensors")),
        (("--kind", "lstm", "-o", "lm.safetensors", "--order", 4), ("--order", "--kind lstm")),
        (("-o", "lm.arpa", "--units", 4), ("--units", "--kind ngram")),
        (("--kind", "gru", "-o", "lm.safetensors", "--lanes", 5000), ("too few", "--lanes 5000")),
    ],
)
def test_options_that_do_not_go_together(asr, text, arguments, parts):
    assert_told(asr("lm", "train", text, *arguments), ERROR, *parts)


def test_files_of_another_kind_and_damaged_ones(asr, text, tmp_path, model_path):
    assert_told(asr("lm", "perplexity", model_path, text), ERROR, "model.safetensors", "not a recurrent language model")
    assert_told(asr("lm", "perplexity", tmp_path / "no.safetensors", text), ERROR, "no.safetensors", "no such")
    network = RecurrentNetwork("lstm", len(WORDS), RecurrentConfig(units=8))
    weights = weights_of(network)
    del weights["recurrent.bias_ih_l0"]
    path = tmp_path / "lm.safetensors"
    write_recurrent(path, RecurrentFile(weights, "lstm", WORDS, "basic", False, {}))
    assert_told(asr("lm", "perplexity", path, text), ERROR, "lm.safetensors", "recurrent.bias_ih_l0")
    path.write_bytes(path.read_bytes()[:-100])
    assert_told(asr("lm", "perplexity", path, text), ERROR, "lm.safetensors", "cut short")
    arpa = tmp_path / "lm.arpa"
    assert_told(asr("lm", "perplexity", arpa, text, "--carry"), ERROR, "--carry", "lm.arpa")
