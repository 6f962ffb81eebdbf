"""benchmarks/training.py on noise, with whichever of the other trainers are installed."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

from lstm import INPUTS, Layers, LoopLayer, OneDnnLayer
from trainers import CEILING, KINDS, OURS, BatchCycle, Round, missing
from training import Options, make_recipe, markdown, markdown_with_features, ratio

from asr.config import Recipe
from asr.model.acoustic_model import AcousticModel
from asr.model.config import ModelConfig
from asr.model.encoders import BiLstmLayer


@pytest.fixture(autouse=True)
def denormals_return():
    """The benchmark flushes denormal numbers, in this process until it ends."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def recipe(noise_file, tmp_path) -> Recipe:
    """A small network and 9 recordings, in batches of about 4 seconds."""
    records = []
    for index in range(9):
        seconds = 1.0 + 0.1 * index
        path = noise_file(f"{index}.wav", seconds, seed=index)
        records.append({"id": str(index), "audio_filepath": str(path), "duration": seconds, "text": "ab ba"})
    manifest = tmp_path / "all.jsonl"
    manifest.write_text("".join(json.dumps(record) + "\n" for record in records))
    recipe = make_recipe(Options(manifest=manifest, batch_seconds=4.0), tmp_path)
    return dataclasses.replace(recipe, model=ModelConfig(channels=4, layers=2, width=16))


@pytest.fixture
def forgotten_modules():
    """SpeechBrain leaves modules that raise an error when looked at, as hypothesis does with all that are loaded."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "speechbrain"]:
        del sys.modules[name]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != CEILING])
def test_a_trainer_trains_on_the_seconds_that_it_reports(kind, recipe, forgotten_modules):
    if names := missing(kind):
        pytest.skip(f"{', '.join(names)} is not installed")
    torch.manual_seed(0)
    trainer = KINDS[kind](recipe)
    seconds, first = trainer.train(5.0)
    assert 5.0 <= seconds <= 5.0 + 4.0
    for _ in range(8):
        _, last = trainer.train(10.0)
    assert last < 0.9 * first
    ours = AcousticModel(recipe.model, recipe.features.mels, len(("", " ", "a", "b")))
    assert trainer.parameters == pytest.approx(ours.parameter_count(), rel=0.05)


@pytest.mark.slow
def test_the_lstm_alone_has_our_shapes(recipe):
    alone = KINDS[CEILING](recipe)
    for batch in alone.batches.batches:
        lengths, frames = alone._lengths(batch)
        assert frames >= lengths.max() and len(lengths) == len(batch)
        assert lengths.tolist() == [recipe.output_frames(alone.durations[index]) for index in batch]
    assert alone.train(5.0)[0] >= 5.0


def test_batches_are_taken_in_order_and_again_from_the_start():
    batches = BatchCycle([[0, 1], [2], [3]], [1.0, 2.0, 4.0, 8.0])
    assert batches.take(3.0) == ([[0, 1]], 3.0)
    assert batches.take(5.0) == ([[2], [3]], 12.0)
    assert batches.take(4.0) == ([[0, 1], [2]], 7.0)
    assert batches.take(9.0) == ([[0, 1], [2], [3]], 15.0)
    assert batches.take(100.0) == ([[0, 1], [2], [3]], 15.0)


def test_ratios_are_the_median_of_rounds_and_features_are_shared_out():
    def rounds(*speeds):
        return [Round(100.0, 100.0 / speed, 0.0) for speed in speeds]

    results = {OURS: rounds(200, 100, 300), "other": rounds(100, 100, 100), CEILING: rounds(400, 400, 400)}
    assert ratio(results[OURS], results["other"]) == pytest.approx(2)
    assert "| 2.00" in markdown(dict.fromkeys(results, 1), results)
    # 1/200 s of training and 1/200 s of features for a second of audio, in one epoch; a tenth of that in thirty.
    lines = markdown_with_features(3, 1 / 200, results).splitlines()
    assert [line.split("|")[1:4] for line in (lines[2], lines[5])] == [
        [" 1      ", " 100                    ", " 1.00        "],
        [" 30     ", " 182                    ", " 1.82        "],
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [LoopLayer, OneDnnLayer, BiLstmLayer])
def test_other_lstms_have_the_gradients_of_ours(kind):
    ours, other = Layers(), Layers(kind)
    other.load_state_dict(ours.state_dict())
    x, lengths = torch.randn(3, 9, INPUTS), torch.tensor([9, 4, 7])
    inside = (torch.arange(9) < lengths.unsqueeze(1)).unsqueeze(-1)
    for layers in (ours, other):
        with torch.autocast("cpu", torch.bfloat16, enabled=layers is other):
            output = layers(x, lengths)
        (output.float() * inside).square().sum().backward()
    for (name, exact), rounded in zip(ours.named_parameters(), other.parameters(), strict=True):
        assert (rounded.grad - exact.grad).norm() < 0.03 * exact.grad.norm(), name
