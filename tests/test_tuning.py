"""`asr tune`: the search for weights, and that transcribe and evaluate take what it wrote."""

import json
import math
from dataclasses import replace

import pytest
import torch
from command_line import COMPLETE, ERROR, assert_told

from asr.decoding.config import DecoderConfig, load_decoder
from asr.evaluation.config import TuneConfig
from asr.evaluation.tuning import Trial, _search_weights
from asr.lm.config import RecurrentConfig
from asr.lm.recurrent_file import RecurrentFile, write_recurrent
from asr.lm.recurrent_network import RecurrentNetwork
from asr.pretrained import ENGLISH

ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.0 <unk> 0
-99 <s> -0.3
-0.8 </s> 0
-0.7 ab -0.2
-0.9 cab -0.1

\\2-grams:
-0.3 <s> ab
-0.2 ab cab
-0.4 cab </s>

\\end\\
"""


@pytest.fixture
def lm(tmp_path):
    path = tmp_path / "words.arpa"
    path.write_text(ARPA)
    return path


@pytest.fixture
def model(tmp_path, model_path):
    """The shared model file in a folder of its own, which tuning writes to."""
    path = tmp_path / "mine" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes(model_path.read_bytes())
    return path


class Bowl:
    """A WER that is least at one point."""

    def __init__(self, lm_weight: float, word_bonus: float, prior_scale: float | None = None):
        self.best, self.trials, self.has_priors = (
            (lm_weight, word_bonus, prior_scale or 0.0),
            0,
            prior_scale is not None,
        )

    def measure(self, trial: Trial) -> Trial:
        self.trials += 1
        point = trial.lm_weight, trial.word_bonus, trial.prior_scale
        return replace(trial, wer=math.dist(self.best, point))


@pytest.mark.parametrize("lm_weight, word_bonus", [(0.0, 0.0), (0.6, 1.3), (1.9, -2.8), (2.0, 3.0)])
def test_the_search_ends_within_a_step_of_the_best_weights(lm_weight, word_bonus):
    bowl, config = Bowl(lm_weight, word_bonus), TuneConfig(search=DecoderConfig(lm="some.arpa"))
    best = min(_search_weights(bowl, config), key=lambda trial: trial.rank)
    assert abs(best.lm_weight - lm_weight) <= 0.0625 and abs(best.word_bonus - word_bonus) <= 0.1875
    assert bowl.trials <= 25 + 3 * 9


@pytest.mark.parametrize("prior_scale", [0.0, 0.2, 0.4, 0.5])
def test_the_search_finds_the_prior_scale_if_the_model_has_priors(prior_scale):
    config = TuneConfig(search=DecoderConfig(lm="some.arpa"))
    best = min(_search_weights(Bowl(0.6, 1.3, prior_scale), config), key=lambda trial: trial.rank)
    assert abs(best.prior_scale - prior_scale) <= 0.075
    assert {trial.prior_scale for trial in _search_weights(Bowl(0.6, 1.3), config)} == {0.0}


def test_without_a_language_model_only_the_word_bonus_is_tried():
    bowl = Bowl(0.0, 1.0)
    trials = _search_weights(bowl, TuneConfig(search=DecoderConfig(decoder="beam")))
    assert {trial.lm_weight for trial in trials} == {0.0}
    assert min(trials, key=lambda trial: trial.rank).word_bonus == pytest.approx(1.0, abs=0.1875)


@pytest.mark.slow
def test_transcribe_and_evaluate_use_the_tuned_weights(asr, model, lm, noise_file, manifest, tmp_path):
    sounds = [noise_file(f"{name}.wav", seed=seed) for seed, name in enumerate("abc")]
    dev = manifest(*[(sound.stem, sound) for sound in sounds])
    result = asr("tune", dev, "--model", model, "--lm", lm, "--beams", "4", "16", "--rounds", "1", "--grid", "3")
    assert result.returncode == COMPLETE and "NOTE" in result.stdout
    written = load_decoder(model)
    assert (written.decoder, written.lm) == ("beam", str(lm))
    assert written.beam.beam in (4, 16, 64) and written.beam.lm_weight >= 0
    record = json.loads(model.with_name("decoder.json").read_text())
    assert {trial["beam"] for trial in record["trials"]} == {4, 16, 64}
    assert model.with_name("decoder.png").read_bytes().startswith(b"\x89PNG")

    command = ["transcribe", sounds[0], "--format", "jsonl", "-m"]
    by_default = asr(*command, model).stdout
    weights = [f"--{key}={getattr(written.beam, key)}" for key in ("lm_weight", "word_bonus", "beam")]
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes(model.read_bytes())
    assert asr(*command, bare, "--lm", lm, *weights).stdout == by_default
    greedy = asr(*command, bare).stdout
    assert asr(*command, model, "--decoder", "greedy").stdout == greedy != by_default
    report = asr("evaluate", dev, "-m", model).stdout
    assert (
        f"decoder      beam {written.beam.beam}, language model words.arpa (weight {written.beam.lm_weight:g})"
        in report
    )
    wer = report.splitlines()[0]
    assert f"{min(t['wer'] for t in record['trials'] if t['beam'] == written.beam.beam):.2%}" in wer


@pytest.mark.slow
def test_the_share_of_a_recurrent_model_is_tuned(asr, model, lm, noise_file, manifest, tmp_path):
    torch.manual_seed(1)
    words = ("<unk>", "</s>", "ab", "cab")
    network = RecurrentNetwork("gru", len(words), RecurrentConfig(units=4))
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items() if name != "state"}
    recurrent = tmp_path / "rnn.safetensors"
    write_recurrent(recurrent, RecurrentFile(weights, "gru", words, "basic", False, {}))
    sounds = [noise_file(f"{name}.wav", seed=seed) for seed, name in enumerate("abc")]
    dev = manifest(*[(sound.stem, sound) for sound in sounds])
    options = ("--beams", "4", "--rounds", "0", "--grid", "2")
    result = asr("tune", dev, "--model", model, "--lm", lm, "--rescore", recurrent, *options)
    assert result.returncode == COMPLETE, result.stderr
    assert "without the recurrent model" in result.stdout
    written, tried = load_decoder(model), json.loads(model.with_name("decoder.json").read_text())["rescorings"]
    assert written.rescore == recurrent and written.segment_slope > 0
    best = min(each["wer"] for each in tried)
    assert (written.beam.rescore_share, written.beam.rescore_weight) in {
        (each["rescore_share"], each["rescore_weight"]) for each in tried if each["wer"] == best
    }
    assert load_decoder(model, lm="none").rescore is None, "it was tuned with another language model"
    for more in ((), ("--rescore_share", 0.9), ("--rescore_context", 5)):
        assert asr("transcribe", sounds[0], "-m", model, *more).returncode == COMPLETE
    assert "rescored with rnn.safetensors" in asr("evaluate", dev, "-m", model).stdout


def test_help_shows_the_defaults_of_the_model_that_is_named(asr, model):
    model.with_name("decoder.toml").write_text("[beam]\nlm_weight = 0.375\n")
    assert "(default: 0.375)" in asr("evaluate", "dev.jsonl", f"--model={model}", "--help").stdout
    shipped = load_decoder(ENGLISH).beam.lm_weight
    assert f"(default: {shipped})" in asr("evaluate", "--help").stdout, "those of the model that ships"


def test_nothing_to_tune(asr, model, noise_file, manifest):
    dev = manifest(("a", noise_file("a.wav")))
    assert_told(asr("tune", dev, "-m", model), ERROR, "--lm")
    assert not model.with_name("decoder.toml").exists()


def test_an_unreadable_recording_is_an_error(asr, model, lm, manifest, tmp_path):
    result = asr("tune", manifest(("lost", tmp_path / "gone.wav")), "-m", model, "--lm", lm)
    assert_told(result, ERROR, "gone.wav")


@pytest.mark.parametrize(
    "content, reason",
    [
        ("[beam]\nlm_wait = 1\n", "did you mean 'beam.lm_weight'?"),
        ("[beam]\nbeam = 0\n", "beam"),
        ("lm = \n", "not valid TOML"),
        ('lm = "gone.arpa"\n', "gone.arpa"),
    ],
)
def test_bad_decoder_file(asr, model, noise_file, content, reason):
    model.with_name("decoder.toml").write_text(content)
    assert_told(asr("transcribe", noise_file("a.wav"), "-m", model), ERROR, str(model.parent), reason)
