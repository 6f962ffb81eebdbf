"""recipes/own_words: the division of a corpus, and a tiny run of its commands."""

import dataclasses
import importlib.util
import itertools
import json
from pathlib import Path

import pytest
from command_line import COMPLETE
from tones import write_corpus

from asr.config import load_recipe
from asr.data.manifest import Utterance, read_manifest, write_manifest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "recipes" / "own_words" / "divide.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("own_words_divide", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prompts(count: int) -> list[Utterance]:
    """Each of `count` prompts twice, a minute each."""
    return [Utterance(f"u{n}", Path("x.wav"), 60.0, f"prompt {n % count}", "ann") for n in range(2 * count)]


def test_no_prompt_is_in_both_parts(script):
    train, test = script.divide(prompts(20), 10, "prompt")
    assert {u.text for u in test} == {"prompt 0", "prompt 10"} and len(test) == 4 and len(train) == 36
    assert {u.text for u in train}.isdisjoint(u.text for u in test)
    assert all(u.speaker_in_training for u in test) and not any(u.speaker_in_training for u in train)


def test_every_fifth_recording(script):
    train, test = script.divide(prompts(10), 5, "recording")
    assert [u.id for u in test] == ["u0", "u5", "u10", "u15"] and len(train) == 16


def test_parts_by_minutes_are_nested(script, tmp_path, capsys):
    manifest = write_manifest(tmp_path / "all.jsonl", prompts(20))
    script.main([str(manifest), "--every", "10", "--by", "prompt", "--minutes", "5", "10", "-o", str(tmp_path / "o")])
    small, large = ([u.id for u in read_manifest(tmp_path / "o" / f"train-{size}.jsonl")] for size in (5, 10))
    assert len(small) == 5 and len(large) == 10 and large[:5] == small
    assert "test.jsonl: 4 utterances, 4.0 min" in capsys.readouterr().out


def test_transcripts_with_tags_are_left_out_by_name(script, tmp_path, capsys):
    tagged = Utterance("noisy", Path("x.wav"), 60.0, "prompt [noise] 1", "ann")
    manifest = write_manifest(tmp_path / "all.jsonl", [tagged, *prompts(5)])
    script.main([str(manifest), "--every", "5", "-o", str(tmp_path / "o")])
    assert "noisy" in capsys.readouterr().out
    kept = [u.id for part in ("train", "test") for u in read_manifest(tmp_path / "o" / f"{part}.jsonl")]
    assert "noisy" not in kept and len(kept) == 10


@pytest.mark.slow
def test_a_tiny_run_of_the_commands(script, asr, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = itertools.cycle(("aabb", "bccb", "caac"))
    made = write_corpus(tmp_path, "made", 60, seed=0)
    write_manifest(made, [dataclasses.replace(u, text=next(words)) for u in read_manifest(made)])
    script.main([str(made), "--every", "5", "-o", "parts"])
    assert asr("init", "parts/train.jsonl", "parts/test.jsonl", "-o", "mine.toml").returncode == COMPLETE
    recipe = Path("mine.toml")
    recipe.write_text(recipe.read_text().replace("[training]\n", "[training]\nepochs = 1\n", 1))
    assert not load_recipe(recipe).base  # no English words
    trained = asr("train", "mine.toml")
    assert trained.returncode == COMPLETE and "mine-model/model.safetensors" in trained.stdout, trained.stderr
    result = asr("evaluate", "parts/test.jsonl", "-m", "mine-model/model.safetensors", "-o", "report")
    assert result.returncode == COMPLETE
    assert len(json.loads(Path("report/report.json").read_text())["utterances"]) == 12
