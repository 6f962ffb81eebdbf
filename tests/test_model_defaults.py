"""asr.cli.model_defaults: which recipe's values, and which of a decoder.toml's, hold for a command line."""

import pytest
from command_line import COMPLETE, ERROR, assert_told

from asr.cli.model_defaults import decoder_defaults, recipe_defaults
from asr.decoding.config import BeamConfig

TUNED = """decoder = "beam"
lm = "tuned.arpa"
lexicon = "words.txt"

[beam]
lm_weight = 1.25
word_bonus = 2.5
beam = 8
"""


@pytest.fixture
def model(tmp_path, model_path):
    """The shared model file beside a decoder.toml."""
    path = tmp_path / "mine" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes(model_path.read_bytes())
    path.with_name("decoder.toml").write_text(TUNED)
    return path


@pytest.mark.parametrize("rival", [["--rival", "other.toml"], ["--rival=other.toml"]])
def test_the_value_of_an_option_is_not_the_recipe(tmp_path, monkeypatch, rival):
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "other"):
        (tmp_path / f"{name}.toml").write_text(f'output = "{name}"')
    for arguments in ([*rival, "mine.toml"], ["mine.toml", *rival]):
        assert recipe_defaults(arguments).output.name == "mine"


@pytest.mark.parametrize(
    ("options", "tuned"),
    [
        ([], True),
        (["--lm", "mine/tuned.arpa"], True),
        (["--lm=./mine/../mine/tuned.arpa"], True),
        (["--decoder", "beam"], True),
        (["--lm", "none"], False),
        (["--lm=none"], False),
        (["--lm", "other.arpa"], False),
        (["--decoder=beam", "--lm", "none", "--word_bonus", "1"], False),
    ],
)
def test_weights_hold_for_the_language_model_that_they_were_tuned_with(model, monkeypatch, options, tuned):
    monkeypatch.chdir(model.parent.parent)
    found = decoder_defaults(["dev.jsonl", "-m", str(model), *options])
    assert (found.decoder, found.lm) == ("beam", str(model.parent / "tuned.arpa"))
    assert found.beam == (BeamConfig(lm_weight=1.25, word_bonus=2.5, beam=8) if tuned else BeamConfig())


def test_help_shows_which_weights_hold(asr, model):
    assert "(default: 2.5)" in asr("evaluate", "-m", model, "--help").stdout
    assert "(default: 2.5)" not in asr("evaluate", "-m", model, "--lm", "none", "--help").stdout


def test_greedy_decoding_needs_none_of_the_files_that_decoder_toml_names(asr, model, noise_file, model_path):
    sound = noise_file("a.wav")
    result = asr("transcribe", sound, "-m", model, "--decoder", "greedy")
    assert (result.returncode, result.stderr) == (COMPLETE, "")
    assert result.stdout == asr("transcribe", sound, "-m", model_path).stdout


@pytest.mark.parametrize("option", ["--lm", "--lexicon", "--hotwords"])
@pytest.mark.parametrize("command", ["transcribe", "evaluate", "tune", "inspect"])
def test_greedy_decoding_with_options_of_the_search(asr, model, noise_file, manifest, tmp_path, command, option):
    sound = noise_file("a.wav")
    target = manifest(("a", sound)) if command in ("evaluate", "tune") else sound
    output = ["-o", tmp_path / "picture.png"] if command == "inspect" else []
    result = asr(command, target, "-m", model, *output, "--decoder", "greedy", option, "some.txt")
    assert_told(result, ERROR, "--decoder greedy", f"{option} some.txt")
