"""Small training runs: they learn, resume exactly, and report what is wrong."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import small_recipe
import torch
from tones import write_corpus

from asr.config import Recipe, load_recipe
from asr.data.manifest import Utterance, read_manifest, write_manifest
from asr.errors import AsrError, TrainingError
from asr.recognition.recognizer import Recognizer
from asr.text.tokenizer import CharacterTokenizer
from asr.training.config import TrainingConfig
from asr.training.summary import introduction
from asr.training.trainer import train
from asr.utils.config_io import from_values
from asr.utils.device import choose_precision


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    write_corpus(folder, "train", 60, 0)
    write_corpus(folder, "dev", 12, 1)
    return folder


def write_recipe(corpus: Path, output: str, epochs: int = 3) -> Path:
    masks = {"time_masks": 1, "time_mask_share": 0.05, "frequency_masks": 1, "frequency_mask_mels": 2}
    change = {"augment": masks, "model": {"dropout": 0.1}, "training": {"epochs": epochs, "average": 2}}
    return small_recipe.write_recipe(corpus / f"{output}.toml", change)


def command(recipe: Path) -> list[str]:
    return [sys.executable, "-m", "asr", "train", str(recipe)]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(path / "model.safetensors")


@pytest.mark.slow
def test_learns_a_language_of_tones(corpus):
    model = Recognizer.load(train(load_recipe(write_recipe(corpus, "learned", epochs=20))))
    assert model.file.training["dev_wer"] < 0.2
    assert model.file.training["utterances"] == 60
    assert sum(model.file.priors) == pytest.approx(1, abs=0.01) and model.file.priors[0] > max(model.file.priors[1:])
    records = [json.loads(line) for line in (corpus / "learned" / "metrics.jsonl").read_text().splitlines()]
    epochs = [record for record in records if record["kind"] == "epoch"]
    assert epochs[-1]["loss"] < 0.3 * epochs[0]["loss"] and 0 < epochs[-1]["blank_rate"] < 1
    assert list((corpus / "learned" / "tensorboard").iterdir())


@pytest.mark.parametrize("decoder, warned", [("none", True), ("sentences", False)])
def test_the_beginning_warns_of_sentences_in_train_and_dev(decoder, warned):
    texts = [f"sana{n} toinen{n}" for n in range(300)]
    train, dev = (
        SimpleNamespace(texts=each, utterances=each, hours=1.0, synthetic=False, speakers=set())
        for each in (texts, [*texts[:20], "muu"])
    )
    network, group = SimpleNamespace(parameter_count=lambda: 1), SimpleNamespace(size=1)
    learner = SimpleNamespace(model=network, group=group, device="cpu", dtype=torch.float32, reason="")
    recipe = Recipe(training=TrainingConfig(decoder=decoder))
    lines = introduction(recipe, train, dev, CharacterTokenizer("a"), learner)
    assert any(line.startswith("warning: 95% of the sentences") for line in lines) == warned


@pytest.mark.slow
def test_killed_at_any_step_it_ends_with_the_same_weights(corpus):
    whole, recipe, folder = corpus / "whole", write_recipe(corpus, "killed"), corpus / "killed"
    subprocess.run(command(write_recipe(corpus, "whole")), check=True)  # as many threads as the killed one has
    for wanted in (3, 11):
        process = subprocess.Popen(command(recipe), stderr=subprocess.PIPE)
        wait_for(lambda wanted=wanted: steps_saved(folder) >= wanted, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (folder / "model.safetensors").exists(), "killed too late to prove anything"
    finished = subprocess.run(command(recipe), capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "resuming at step" in finished.stderr
    expected, actual = weights(whole), weights(folder)
    for name in expected:
        assert torch.equal(expected[name], actual[name]), name
    assert steps_logged(folder) == steps_logged(whole), "no step is logged twice or lost"


def steps_logged(folder: Path) -> list[int]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [record["step"] for record in records if record["kind"] in ("train", "epoch")]


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_resume(corpus):
    recipe, folder = write_recipe(corpus, "interrupted", epochs=200), corpus / "interrupted"
    process = subprocess.Popen(command(recipe), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: steps_saved(folder) >= 2, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "state saved; rerun the same command to resume" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr


def steps_saved(folder: Path) -> int:
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0
    with safetensors.safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["asr"])["progress"]["step"]


def wait_for(condition, process: subprocess.Popen, seconds: float = 120) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.01)


@pytest.mark.slow
def test_another_recipe_in_the_same_folder_is_refused(corpus):
    recipe = load_recipe(write_recipe(corpus, "changed", epochs=1))
    train(recipe)
    changed = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, width=25))
    with pytest.raises(TrainingError, match=r"model\.width = 24, now it is 25.*another --output .*or delete"):
        train(changed)


@pytest.mark.slow
def test_finished_run_is_not_repeated(corpus, capsys):
    recipe = load_recipe(write_recipe(corpus, "finished", epochs=1))
    path = train(recipe)
    before = path.stat().st_mtime_ns
    capsys.readouterr()
    assert train(recipe) == path and path.stat().st_mtime_ns == before
    told = capsys.readouterr().err
    assert "finished: this run is finished" in told and "--output" in told and told.count("\n") == 1


@pytest.fixture
def finished(corpus, tmp_path) -> Recipe:
    """A finished run with manifests of its own."""
    recipe = load_recipe(write_recipe(corpus, "of_old", epochs=1))
    manifests = [
        write_manifest(tmp_path / path.name, read_manifest(path)) for path in (*recipe.data.train, *recipe.data.dev)
    ]
    data = dataclasses.replace(recipe.data, train=manifests[:1], dev=manifests[1:])
    recipe = dataclasses.replace(recipe, data=data, output=tmp_path / "run")
    train(recipe)
    return recipe


@pytest.mark.slow
def test_what_has_changed_since_a_run_finished_is_reported(finished):
    manifest = finished.data.train[0]
    utterances = read_manifest(manifest)
    model = finished.output / "model.safetensors"
    before = model.read_bytes()
    write_manifest(manifest, [*utterances, dataclasses.replace(utterances[0], id="new")])
    with pytest.raises(
        TrainingError, match=r"finished .*data\.train has changed: .*60 utt.* 61 utt.*--output"
    ) as error:
        train(finished)
    assert "data.dev" not in str(error.value) and f"--training.warm_start {model}" in str(error.value)
    write_manifest(manifest, [dataclasses.replace(utterances[0], text="abc"), *utterances[1:]])
    with pytest.raises(TrainingError, match=r"finished .*data\.train has changed"):
        train(finished)
    manifest.unlink()
    finished.data.dev[0].write_text("")
    wider = dataclasses.replace(finished, model=dataclasses.replace(finished.model, width=25))
    with pytest.raises(
        TrainingError, match=r"finished .*width = 24, now it is 25.*train\.jsonl: no such file.*dev"
    ) as error:
        train(wider)
    assert model.read_bytes() == before


@pytest.mark.slow
def test_a_finished_run_whose_files_have_moved_has_not_changed(finished, tmp_path):
    moved = write_manifest(tmp_path / "moved" / "train.jsonl", read_manifest(finished.data.train[0]))
    data = dataclasses.replace(finished.data, train=(moved,))
    assert train(dataclasses.replace(finished, data=data)).exists()


@pytest.mark.slow
def test_a_run_from_before_an_option_existed_resumes(corpus):
    recipe = load_recipe(write_recipe(corpus, "older", epochs=1))
    path = train(recipe)
    written = path.with_name("recipe.json")
    values = json.loads(written.read_text())
    del values["model"]["phone_layer"]
    written.write_text(json.dumps(values))
    assert train(recipe) == path


def recipe_for(corpus: Path, output: str, **sections) -> Recipe:
    values = {"output": str(corpus / output), "data": {"train": [str(corpus / "train.jsonl")]}} | sections
    values["data"]["dev"] = [str(corpus / "dev.jsonl")]
    return from_values(Recipe, values, "recipe")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ""}, "1 with an empty text, the first 'odd'"),
        ({"text": "a" * 60}, "1 with more tokens than output frames, the first 'odd'"),
        ({"duration": 99.0}, "1 with more than 35 s, the first 'odd'"),
        ({"audio_filepath": Path("none.wav")}, "no such recording"),
        ({"id": "dev-0", "text": "é"}, "characters that the alphabet lacks|outside the alphabet: 'é' \\(1\\)"),
    ],
)
def test_unusable_data_is_named_before_training(corpus, tmp_path, change, message):
    odd = Utterance("odd", corpus / "train-0.wav", 0.6, "a")
    if "audio_filepath" in change:
        change = {"audio_filepath": tmp_path / change["audio_filepath"]}
    manifest = write_manifest(tmp_path / "odd.jsonl", [dataclasses.replace(odd, **change)])
    recipe = recipe_for(corpus, "unusable", data={"train": [str(manifest)]}, text={"alphabet": "abc"})
    with pytest.raises(AsrError, match=message):
        train(recipe)
    assert not (corpus / "unusable").exists(), "nothing is written before the data has been checked"


def test_dev_characters_that_train_lacks_are_listed(corpus, tmp_path):
    manifest = write_manifest(tmp_path / "only_a.jsonl", [Utterance("x", corpus / "train-0.wav", 0.6, "a")])
    recipe = recipe_for(corpus, "lacking", data={"train": [str(manifest)]})
    with pytest.raises(TrainingError, match=r"dev\.jsonl: characters that the alphabet lacks: '[bc]' \(\d+\), '[bc]'"):
        train(recipe)


def test_a_recipe_without_data_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"data\.train names no manifest"):
        train(Recipe(output=tmp_path / "run"))


def test_precision_comes_with_its_reason():
    dtype, reason = choose_precision("auto", torch.device("cpu"))
    capabilities = torch.cpu.get_capabilities()
    native = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    assert (dtype == torch.bfloat16) == bool(native) and "bfloat16" in reason
    assert choose_precision("bfloat16", torch.device("cpu"))[0] == torch.bfloat16


def spoil(monkeypatch, spoiled: set[int]) -> list[int]:
    """Make the loss of these steps NaN; returns the list of steps that were tried."""
    from asr.training.learner import Learner

    tried, genuine = [], Learner.step

    def step(self, parts, tokens, number, *rest):
        tried.append(number)
        if number in spoiled:
            parts[0].batch.features[:] = float("nan")
        return genuine(self, parts, tokens, number, *rest)

    monkeypatch.setattr(Learner, "step", step)
    return tried


@pytest.mark.slow
def test_a_nan_loss_restores_the_checkpoint_and_skips_the_batch_once(corpus, monkeypatch, capsys):
    tried = spoil(monkeypatch, {4})
    path = train(load_recipe(write_recipe(corpus, "around", epochs=1)))
    told = capsys.readouterr().err
    assert "warning: step 4: the loss is nan" in told and "restored step 4, skipping this batch" in told
    assert tried.count(4) == 1, "the batch is left out the second time"
    assert tried == list(range(len(tried)))
    batch, folder = safetensors.torch.load_file(path.parent / "bad-batch.safetensors"), path.parent
    assert batch["features"].shape[0] == len(batch["token_lengths"])
    with safetensors.safe_open(folder / "bad-batch.safetensors", framework="pt") as file:
        names = json.loads(file.metadata()["asr"])["utterances"]
    assert len(names) == len(batch["token_lengths"]) and all(name.startswith("train-") for name in names)


@pytest.mark.slow
def test_a_second_nan_loss_ends_the_run(corpus, monkeypatch):
    spoil(monkeypatch, {2, 5})
    with pytest.raises(TrainingError, match=r"step 5: the loss is nan.* for train-\d+.*lower training\.learning_rate"):
        train(load_recipe(write_recipe(corpus, "stops", epochs=1)))
    assert not (corpus / "stops" / "model.safetensors").exists()


@pytest.mark.slow
def test_utterances_with_too_few_frames_are_skipped_and_counted(corpus, capsys):
    recipe = load_recipe(write_recipe(corpus, "fast", epochs=1))
    augment = dataclasses.replace(recipe.augment, speeds=(2.0,))
    model = dataclasses.replace(recipe.model, subsampling=8)
    path = train(dataclasses.replace(recipe, augment=augment, model=model))
    records = [json.loads(line) for line in (path.parent / "metrics.jsonl").read_text().splitlines()]
    short = next(record["too_short"] for record in records if record["kind"] == "epoch")
    assert 0 < short < 60
    assert f"skipped: {short} utterances with too few frames for their tokens" in capsys.readouterr().err


@pytest.mark.slow
def test_warm_start_copies_weights_and_output_rows_by_token(corpus, capsys):
    first = train(load_recipe(write_recipe(corpus, "first", epochs=1)))
    recipe = load_recipe(write_recipe(corpus, "second", epochs=1))
    second = dataclasses.replace(
        recipe,
        text=dataclasses.replace(recipe.text, alphabet="xcba "),
        training=dataclasses.replace(recipe.training, warm_start=first, learning_rate=1e-12),
    )
    ours, theirs = Recognizer.load(train(second)).file, Recognizer.load(first).file
    assert "starting from" in capsys.readouterr().err
    for piece in "abc":
        rows = [file.weights["head.weight"][file.tokenizer.pieces.index(piece)] for file in (ours, theirs)]
        np.testing.assert_allclose(*rows, rtol=1e-6)
    name = "layers.0.forwards.weight_hh_l0"
    np.testing.assert_allclose(ours.weights[name], theirs.weights[name], rtol=1e-6)


@pytest.mark.slow
def test_warm_start_from_a_model_of_other_shapes_is_refused(corpus):
    first = train(load_recipe(write_recipe(corpus, "small", epochs=1)))
    recipe = load_recipe(write_recipe(corpus, "larger", epochs=1))
    model = dataclasses.replace(recipe.model, width=40, channels=5)
    training = dataclasses.replace(recipe.training, warm_start=first)
    with pytest.raises(AsrError, match=r"model\.safetensors: no layer has the shape"):
        train(dataclasses.replace(recipe, model=model, training=training))
    assert train(recipe).exists(), "a recipe that failed at the start may be corrected"


@pytest.mark.slow
def test_the_average_of_the_weights_is_what_is_kept(corpus):
    recipe = load_recipe(write_recipe(corpus, "averaged", epochs=1))
    still = dataclasses.replace(recipe.training, ema=0.999999, average=1)
    train(dataclasses.replace(recipe, training=still))
    tensors = safetensors.torch.load_file(corpus / "averaged" / "checkpoint.safetensors")
    kept = weights(corpus / "averaged")
    for name, tensor in kept.items():
        assert torch.equal(tensor, tensors[f"average.{name}"])
    assert not torch.equal(tensors["average.head.weight"], tensors["model.head.weight"])


@pytest.mark.slow
def test_curves_are_drawn_at_the_end(corpus):
    page = (train(load_recipe(write_recipe(corpus, "drawn", epochs=2))).parent / "training.html").read_text()
    assert page.count("<svg") == 8 and "Waiting for data" in page and "<script" not in page
