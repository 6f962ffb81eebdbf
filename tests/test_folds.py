"""Cross-validation: what is trained on what, and the one report; the note on speakers who are in the training set."""

import json
from pathlib import Path

import pytest
from command_line import COMPLETE, ERROR, assert_told

from asr.data.manifest import Utterance, read_manifest, speaker_digest, write_manifest
from asr.errors import ConfigError
from asr.evaluation.evaluate_model import shared_speakers
from asr.evaluation.folds import make_folds


def spoken(speakers: list[str], count: int = 4) -> list[Utterance]:
    return [Utterance(f"{name}-{n}", Path("x.wav"), 1.0, "a b", name) for name in speakers for n in range(count)]


@pytest.mark.parametrize("by, key", [("speaker", lambda u: u.speaker), ("utterance", lambda u: u.id)])
def test_folds_are_a_partition_that_keeps_speakers_or_utterances_apart(by, key):
    utterances = spoken(list("abcdefg"))
    folds = make_folds(utterances, by, 5)
    assert len(folds) == 5 and sorted(u.id for fold in folds for u in fold) == [u.id for u in utterances]
    assert sum(len({key(u) for u in fold}) for fold in folds) == len({key(u) for u in utterances})
    assert max(map(len, folds)) - min(map(len, folds)) <= 4
    assert all(u.speaker_in_training == (by == "utterance") for fold in folds for u in fold)
    assert make_folds(utterances[::-1], by, 5) == folds


def test_there_are_no_more_folds_than_speakers():
    assert len(make_folds(spoken(["a", "b"]), "speaker", 5)) == 2
    for speakers in (["a"], ["a", ""]):
        with pytest.raises(ConfigError, match="--folds"):
            make_folds(spoken(speakers), "speaker", 5)


def test_each_fold_is_recognised_by_a_model_of_the_others(asr, noise_file, model_path, tmp_path, monkeypatch):
    utterances = [
        Utterance(f"{name}-{n}", noise_file(f"{name}{n}.wav", seed=n), 1.0, "a b", name)
        for name in "abc"
        for n in (1, 2)
    ]
    manifest = write_manifest(tmp_path / "all.jsonl", utterances)
    (tmp_path / "mine.toml").write_text("[model]\nlayers = 1\n")
    trained = []

    def train(recipe):
        trained.append([{u.speaker for u in read_manifest(path)} for path in (*recipe.data.train, *recipe.data.dev)])
        recipe.output.mkdir(parents=True)
        path = recipe.output / "model.safetensors"
        path.write_bytes(model_path.read_bytes())
        return path

    monkeypatch.setattr("asr.evaluation.rival.train", train)
    options = ["--folds", "speaker", "--recipe", tmp_path / "mine.toml"]
    assert_told(asr("evaluate", manifest, *options), ERROR, "--output")
    result = asr("evaluate", manifest, *options, "-o", tmp_path / "report")
    assert result.returncode == COMPLETE, result.stderr
    assert len(trained) == 3 and all(train.isdisjoint(dev) and len(train | dev) == 2 for train, dev in trained)
    assert "6 utterances" in result.stdout and "3 folds by speaker" in result.stdout
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert {each["id"] for each in report["utterances"]} == {u.id for u in utterances}


def test_speakers_of_the_training_set_are_noted():
    training = {"speaker_digests": [speaker_digest("a"), speaker_digest("z")]}
    (note,) = shared_speakers(spoken(["a", "b"]), training)
    assert note.startswith("4 of 8 utterances are by 1 speaker")
    assert not shared_speakers(spoken(["b"]), training) and not shared_speakers(spoken(["a"]), {})
