"""The decoder that training leaves beside the model: words of the transcripts, tuned on dev, and words outside."""

import dataclasses
from pathlib import Path

import pytest
from tones import write_corpus

from asr.config import Recipe
from asr.data.config import DataConfig
from asr.data.manifest import read_manifest, write_manifest
from asr.decoding.config import load_decoder
from asr.evaluation.task_decoder import make_task_decoder
from asr.training.config import TrainingConfig
from asr.training.run_folder import RunFolder


@pytest.fixture
def recipe(tmp_path, model_path) -> Recipe:
    """A recipe of one- and two-word sentences, with the untrained model as the result of its run."""
    manifests = []
    for name, texts in (("train", ("ab", "cab bed", "ab cab")), ("dev", ("ab", "cab bed"))):
        path = write_corpus(tmp_path, name, 6, seed=len(name))
        utterances = [dataclasses.replace(u, text=texts[n % len(texts)]) for n, u in enumerate(read_manifest(path))]
        manifests.append(write_manifest(path, utterances))
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.safetensors").write_bytes(model_path.read_bytes())
    return Recipe(run, DataConfig(*((path,) for path in manifests)))


def made(recipe: Recipe, kind: str) -> tuple[Path, str]:
    model = recipe.output / "model.safetensors"
    training = TrainingConfig(decoder=kind)
    return model, make_task_decoder(dataclasses.replace(recipe, training=training), model)


def test_none_is_the_default(recipe):
    model, note = made(recipe, TrainingConfig().decoder)
    assert not note and sorted(path.name for path in model.parent.iterdir()) == ["model.safetensors"]


def test_sentences_are_a_word_list_and_an_ngram(recipe, asr):
    model, note = made(recipe, "sentences")
    search = load_decoder(model)
    assert (model.parent / "lexicon.txt").read_text().split() == ["ab", "bed", "cab"]
    assert not search.beam.open_vocabulary and Path(search.lm).name == "sentences.arpa" and "dev WER" in note
    assert {"ab", "bed", "cab"} <= set(Path(search.lm).read_text().split())

    sound = str(read_manifest(recipe.data.dev[0])[0].audio_filepath)
    spoken = asr("transcribe", sound, "-m", model).stdout.split()
    assert set(spoken) <= {"ab", "bed", "cab"}
    assert set(asr("transcribe", sound, "-m", model, "--decoder", "greedy").stdout.split()) - {"ab", "bed", "cab"}
    open_to_others = ["--open_vocabulary", "--unknown_penalty", "0", "--lm_weight", "0"]
    assert set(asr("transcribe", sound, "-m", model, *open_to_others).stdout.split()) - {"ab", "bed", "cab"}


def test_a_decoder_that_is_there_stays(recipe):
    model, _ = made(recipe, "words")
    search = load_decoder(model)
    assert search.lm == "none" and search.lexicon.name == "lexicon.txt"
    written = model.with_name("decoder.toml").read_text()
    assert written.startswith('# By `training.decoder = "words"` on dev.jsonl (6 utterances)')
    assert made(recipe, "sentences")[1] == "" and model.with_name("decoder.toml").read_text() == written


def test_a_finished_run_may_get_a_decoder(recipe):
    RunFolder(recipe).write_recipe(recipe)
    assert not RunFolder(dataclasses.replace(recipe, training=TrainingConfig(decoder="words"))).recipe_changes()
    assert RunFolder(dataclasses.replace(recipe, training=TrainingConfig(seed=1))).recipe_changes()


def test_the_decoder_of_a_base_stays_as_it_is(recipe, tmp_path):
    base, _ = made(recipe, "sentences")
    adapted = dataclasses.replace(recipe, output=tmp_path / "adapted", base=str(base))
    adapted.output.mkdir()
    (adapted.output / "model.safetensors").write_bytes(base.read_bytes())
    model, note = made(adapted, "base")
    ours, theirs = load_decoder(model), load_decoder(base)
    assert ours.beam == theirs.beam and Path(ours.lm).samefile(theirs.lm) and ours.lexicon.samefile(theirs.lexicon)
    assert "dev WER" in note and not model.with_name("decoder.png").exists(), "no weights were tried"
