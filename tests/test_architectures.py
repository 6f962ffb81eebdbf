"""recipes/architectures: the parts of the study on made-up figures, constructed networks and an untrained model."""

import dataclasses
import json
import math
import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent.parent / "recipes/architectures"))

import findings
from accuracy import Accuracy, LengthCurve, difference, train_run, wer_by_length
from exploding import Excursion, learn_too_fast
from findings import CAUSAL
from fit import Pace, epochs_within, measure_pace
from jobs import Job, run_all
from page import figures, markdown, write_report
from parallelism import Speed, growth, measure_speed
from partial import Partial, Shown, measure_partial, run_incrementally, settle, taken_back
from plan import FAMILIES, Plan, Recipes, Run, choose, match_width
from reach import Reach, farthest, measure_reach, sensitivity
from results import Results
from sounds import group_by_speaker

from asr.audio.config import FeatureConfig
from asr.config import Recipe
from asr.data.config import DataConfig
from asr.data.manifest import Utterance, write_manifest
from asr.errors import ConfigError
from asr.model.acoustic_model import AcousticModel
from asr.model.config import ModelConfig
from asr.training.config import TrainingConfig


@given(st.floats(0.5, 2.5), st.floats(1e-6, 1e3))
def test_growth_is_the_exponent(exponent, factor):
    seconds = [2.0, 6.0, 20.0, 60.0, 200.0, 600.0]
    assert growth(seconds, [factor * second**exponent for second in seconds]) == pytest.approx(exponent, abs=1e-6)


def test_growth_is_that_of_long_utterances():
    """What each call costs hides the growth of short ones."""
    seconds = [2.0, 6.0, 20.0, 60.0, 200.0, 600.0]
    assert growth(seconds, [0.01 + 1e-5 * second**2 for second in seconds]) > 1.5


class Echo(torch.nn.Module):
    """Output t is the sum of all inputs until then, each frame of distance making it half as loud."""

    class subsampling:  # noqa: N801 (named as the acoustic model's)
        factor = 2

    def forward(self, features, lengths):
        frames = features[:, ::2] + features[:, 1::2]
        distance = torch.arange(frames.shape[1])[:, None] - torch.arange(frames.shape[1])
        weights = torch.where(distance >= 0, 0.5**distance, 0.0)
        return torch.einsum("ts,bsf->btf", weights, frames), lengths // 2


def test_reach_of_a_network_that_forgets_by_halves():
    sizes = sensitivity(Echo(), torch.randn(3, 40, 5), place=12)
    expected = [0.5 ** (12 - frame) if frame <= 12 else 0.0 for frame in range(20)]
    np.testing.assert_allclose(sizes, expected, atol=1e-6)
    seconds = [0.1 * (12 - frame) for frame in range(20)]
    assert farthest(seconds, sizes) == pytest.approx((0.6, 0.0))  # 0.5 ** 6 is the last above 1%
    assert farthest([-second for second in seconds], sizes) == pytest.approx((0.0, 0.6))


def small_model(encoder: str) -> AcousticModel:
    torch.manual_seed(0)
    return AcousticModel(ModelConfig(encoder, 3, channels=3, layers=2, width=8), mels=10, tokens=6).eval()


@pytest.mark.slow
@pytest.mark.parametrize("encoder", FAMILIES)
@settings(max_examples=10, deadline=None)
@given(frames=st.integers(1, 70), hop=st.integers(1, 5), look=st.integers(0, 6))
def test_look_ahead_changes_nothing_for_causal_families(encoder, frames, hop, look):
    model, features = small_model(encoder), torch.randn(frames, 10)
    with torch.inference_mode():
        whole = model(features[None], torch.tensor([frames]))[0][0].numpy()
    emissions, counts = run_incrementally(model, features, hop)
    np.testing.assert_allclose(settle(emissions, counts, len(whole)), whole, atol=1e-5)
    if encoder in CAUSAL:
        np.testing.assert_allclose(settle(emissions, counts, look), whole, atol=1e-5)


def test_a_frame_is_final_once_its_look_ahead_has_arrived():
    counts = np.array([2, 4, 5])
    emissions = [np.full((frames, 1), frames) for frames in counts]
    assert settle(emissions, counts, 0).ravel().tolist() == [2, 2, 4, 4, 5]
    assert settle(emissions, counts, 2).ravel().tolist() == [4, 4, 5, 5, 5]


@pytest.mark.parametrize(
    ("texts", "changed"),
    [
        (["", "for", "forty", "forty two"], 0),
        (["for", "forty two", "fourteen too"], 2),
        (["turn on", "turn off"], 1),
        (["one two", ""], 2),
    ],
)
def test_revised_words_are_counted(texts, changed):
    assert taken_back(texts) == changed


def test_joined_recordings_are_of_one_speaker():
    utterances = [Utterance(str(i), Path("a.wav"), 1.0, "a", speaker) for i, speaker in enumerate("abababa")]
    groups = [[utterance.id for utterance in group] for group in group_by_speaker(utterances, 2)]
    assert groups == [["0", "2"], ["4", "6"], ["1", "3"], ["5"]]


@pytest.fixture
def recipes(noise_file, tmp_path):
    """Those of the study for two minutes of noise."""
    sound = noise_file("a.wav", 2.0)
    said = [Utterance(f"{i:03d}", sound, 2.0, "ab ba", "x") for i in range(60)]
    manifest = write_manifest(tmp_path / "train.jsonl", said)
    base = Recipe(
        data=DataConfig(train=(manifest,), dev=(manifest,)),
        features=FeatureConfig(mels=20),
        model=ModelConfig(channels=4, layers=2, width=96),
        training=TrainingConfig(epochs=6, batch_seconds=4),
    )
    return Recipes(base, Plan(minutes=(0.5, 1.0)), tmp_path)


@pytest.mark.slow
def test_every_family_has_as_many_parameters_and_steps(recipes):
    for family in FAMILIES:
        recipe = recipes.recipe(Run(family))
        model = AcousticModel(recipe.model, 20, recipes.tokens)
        assert recipe.model.encoder == family
        assert model.parameter_count() == pytest.approx(recipes.parameters, rel=0.02)
        assert recipe.training.epochs == recipe.training.patience == 6
        assert recipes.recipe(Run(family, 0.5)).training.epochs == 24
    assert recipes.steps == 180
    small = AcousticModel(recipes.recipe(Run("lstm", small=True)).model, 20, recipes.tokens)
    assert small.parameter_count() == pytest.approx(recipes.parameters / 4, rel=0.05)


def test_each_run_has_a_folder_of_its_own(recipes):
    runs = [Run("gru"), Run("gru", 0.5), Run("gru", small=True), Run("gru", rate_share=0.3), Run("lstm")]
    outputs = [recipes.recipe(run).output for run in runs]
    assert len(set(outputs)) == len(outputs)
    assert outputs[0].name == "gru"  # the folder that `asr train` of the recipe would use


def test_the_slowest_run_sets_the_number_of_epochs():
    assert epochs_within(100.0, [Pace(2.0, 5.0), Pace(10.0, 9.0)]) == 10
    with pytest.raises(ConfigError, match="an epoch of the slowest run takes 9 s and its start 10 s"):
        epochs_within(18.0, [Pace(2.0, 5.0), Pace(10.0, 9.0)])


@pytest.mark.slow
def test_the_pace_of_a_run_is_that_of_its_epochs(recipes):
    recipe = recipes.recipe(Run("lstm", rate_share=0.1))
    started = time.monotonic()
    pace = measure_pace(recipe, recipes.hours)
    assert pace.start > 0 and pace.epoch > 0
    assert pace.start + 2 * pace.epoch == pytest.approx(time.monotonic() - started, abs=5)
    assert not recipe.output.exists()


@pytest.mark.slow
def test_a_run_with_phones_is_chosen_by_them(recipes, tmp_path):
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text("ab AA B\nba B AA\n")
    base = dataclasses.replace(
        recipes.base,
        data=dataclasses.replace(recipes.base.data, lexicon=lexicon),
        model=dataclasses.replace(recipes.base.model, phone_layer=2),
        training=dataclasses.replace(recipes.base.training, epochs=1),
    )
    recipes = Recipes(base, recipes.plan, tmp_path)
    recipe = recipes.recipe(Run("cnn"))
    assert recipe.model.phone_layer == recipe.model.layers == 4
    trained = train_run(recipe)
    record = json.loads((recipe.output / "metrics.jsonl").read_text().splitlines()[-2])
    assert record["kind"] == "epoch" and trained.dev_error == record["dev_per"]


@pytest.mark.slow
def test_a_tried_run_trains_on(recipes):
    recipe = recipes.recipe(Run("cnn"))
    tried = train_run(recipe, until=2)
    assert not Path(tried.model).exists()
    trained = train_run(recipe)
    epochs = [json.loads(line) for line in (recipe.output / "metrics.jsonl").read_text().splitlines()]
    epochs = [record for record in epochs if record["kind"] == "epoch"]
    assert [record["epoch"] for record in epochs] == [1, 2, 3, 4, 5, 6]
    assert (tried.dev_error, tried.loss) == (epochs[1]["dev_wer"], epochs[1]["loss"])
    assert Path(trained.model).exists() and trained.loss == epochs[-1]["loss"]


def test_less_speech_is_part_of_more(recipes):
    less, more = (choose(recipes.utterances, minutes) for minutes in (0.5, 1.0))
    assert len(less) == 15 and len(more) == 30
    assert more[:15] == less and less == choose(recipes.utterances[::-1], 0.5)
    with pytest.raises(ConfigError, match=r"train\.jsonl: 2 min of training speech"):
        Recipes(recipes.base, Plan(minutes=(10.0,)), recipes.output)


def test_finished_jobs_are_not_repeated(tmp_path):
    def job(words: int) -> Job:
        return Job("counted", tmp_path / "count.json", LengthCurve, count, (words, Path("a"), (0.1, 1e30)))

    def count(words: int, path: Path, shares: tuple) -> LengthCurve:
        print("counting", file=sys.stderr)
        return LengthCurve([1.0], [words, math.nan])

    assert job(1).load() is None
    job(1).run()
    assert job(1).load().wer[0] == 1
    assert job(2).load() is None
    assert (tmp_path / "count.log").read_text() == "counting\n"


@pytest.mark.slow
def test_measurements_of_an_untrained_model(model_path, noise_file, recipes, tmp_path):
    sounds = [(name, noise_file(f"{name}.wav", seconds), seconds) for name, seconds in (("a", 2.0), ("b", 3.0))]
    test = write_manifest(tmp_path / "test.jsonl", [Utterance(*sound, "a b") for sound in sounds])
    curve = wer_by_length(model_path, test, (1, 2))
    assert curve.seconds == [2.5, 5.0] and min(curve.wer) > 0
    reach = measure_reach(model_path, test, 1.0, 2)
    assert max(reach.untrained) == max(reach.trained) == 1
    assert len(reach.seconds) == len(reach.trained) and reach.seconds[0] == pytest.approx(1, abs=0.05)
    partial = measure_partial(model_path, test, (0.0, 5.0), 2)
    assert partial.wer[1] == partial.whole_wer and partial.reference == "a b"
    assert partial.example[-1].seconds == pytest.approx(3.0, abs=0.05)
    speed = measure_speed(recipes.recipe(Run("lstm")), 5, (0.2, 0.4), 1, 2.0)
    assert min(*speed.forward, *speed.step, speed.batch_gain, speed.training_rate, speed.recognition_rate) > 0


@pytest.mark.slow
def test_gradients_explode_unless_they_are_clipped(recipes):
    recipe = recipes.recipe(Run("rnn", 0.5))
    clipped = learn_too_fast(recipe, 1.0, 12, clipped=True)
    free = learn_too_fast(recipe, 1e6, 12, clipped=False)
    assert len(clipped.loss) == len(clipped.norm) == 12 and not clipped.broken
    assert free.broken and len(free.loss) < 12
    assert free.loss[0] == clipped.loss[0] and free.norm[0] == clipped.norm[0]  # the same weights and batch
    assert findings.end_loss(free) == math.inf
    assert findings.end_loss(clipped) == pytest.approx(np.mean(clipped.loss[-2:]))


def accuracy(errors: int, hours: float = 1.0) -> Accuracy:
    """So many errors in each of ten utterances of ten words, by ten speakers."""
    wer, speakers = errors / 10, [f"s{i}" for i in range(10)]
    return Accuracy(
        wer, wer, wer, wer / 2, wer, [errors] * 10, [10] * 10, speakers, 2, 96, 430000, 1.7, hours, 100, 3e-3
    )


def results(**errors: int) -> Results:
    """Made-up results in which each family makes so many errors in ten words."""
    wers = dict.fromkeys(FAMILIES, 5) | errors
    places = [-1.0, -0.5, 0.0, 0.5, 1.0]
    shown = [Shown(1.0, "turn on", "turn"), Shown(2.0, "turn <b>", "turn on")]
    calm = Excursion([5.0, 4.0], [3.0, 2.0], False)
    return Results(
        title="an hour of speech",
        synthetic=True,
        quick=False,
        trial_epochs=0,
        command="study.py",
        dev_manifest="dev.jsonl",
        environment={"torch": "2", "processor": "one", "cores": 2},
        frame_seconds=0.04,
        test_minutes=10.0,
        accuracy={f: accuracy(wers[f]) for f in FAMILIES},
        less={10.0: {f: accuracy(9 - index, 1 / 6) for index, f in enumerate(FAMILIES)}},
        small={f: accuracy(8) for f in FAMILIES},
        length={f: LengthCurve([2.0, 16.0], [0.1, 0.2]) for f in FAMILIES},
        speed={f: Speed([2.0, 20.0], [0.1, 1.0], [0.3, 3.0], [1e8, 2e8], 2.0, 500.0, 900.0) for f in FAMILIES},
        reach={f: Reach(places, [1e-9, 1e-9, 1, 0.5, 1e-9], [1e-9, 0.1, 1, 0.5, 0.2]) for f in FAMILIES},
        clipped=dict.fromkeys(FAMILIES, calm),
        free={f: dataclasses.replace(calm, broken=f == "rnn") for f in FAMILIES},
        partial={f: Partial([0.0, 0.64], [0.4, 0.2], 0.2, 0.5, "turn on", shown) for f in FAMILIES},
    )


def test_the_report_names_the_winner_of_these_results():
    lstm, gru = (results(lstm=1), results(gru=1))
    assert findings.accuracy(lstm)[0].startswith("Lowest WER: LSTM 10.00% against no memory 50.00%, significant")
    assert findings.accuracy(gru)[0].startswith("Lowest WER: GRU 10.00%")
    assert findings.lstm(lstm)[0].startswith("The LSTM is best in: WER, ")
    assert findings.lstm(gru)[1].startswith("It does not win in: WER (GRU), ")


@pytest.mark.slow
def test_a_report_of_fewer_families(tmp_path):
    made_up = results()
    fewer = {
        field.name: {family: own for family, own in value.items() if family in ("lstm", "bilstm", "cnn")}
        for field in dataclasses.fields(made_up)
        if field.name not in ("environment", "less") and isinstance(value := getattr(made_up, field.name), dict)
    }
    page = write_report(tmp_path, dataclasses.replace(made_up, less={}, **fewer))[1].read_text()
    assert "| CNN | 50.00% |" in page and "LSTM 50.00% against" in page
    assert "Gates:" not in page and "GRU" not in page and "no memory" not in page
    with pytest.raises(ValueError, match="families: lstm and bilstm"):
        Plan(families=("bilstm", "cnn"))


def test_a_difference_within_the_interval_is_called_not_significant():
    one, other = accuracy(3), dataclasses.replace(accuracy(3), errors=[0, 6] * 5)
    low, high = difference(one, other)
    assert low < 0 < high
    made_up = results()
    close = dataclasses.replace(made_up, accuracy=made_up.accuracy | {"lstm": one, "gru": other})
    assert "not significant" in findings.versus(close, "lstm", "gru")
    assert "identical in every utterance" in findings.versus(results(), "lstm", "gru")


def test_findings_follow_from_the_figures():
    made_up = results()
    assert "LSTM 0.50 s, more than 1.0 s" in findings.memory(made_up)[0]
    assert "becomes NaN or infinite in: RNN; with clipping in: none." in findings.exploding(made_up)[0]
    assert any("0.64 s of look-ahead" in line for line in findings.partial(made_up))
    assert findings.little(made_up)[-1] == "Which family is best depends on the amount of speech."
    best = results(transformer=1)
    assert findings.little(best)[-1] == "The same family is best at every amount of speech."


@pytest.mark.slow
def test_report_is_one_page_with_plots_and_a_table_in_markdown(tmp_path):
    made_up = results(bilstm=2)
    paths = write_report(tmp_path, made_up)
    assert [path.name for path in paths] == ["expected.json", "report.md", "report.html"]
    page = paths[2].read_text()
    assert page.count("data:image/svg+xml;base64,") == 7 and "http" not in page.split("<main>")[1]
    assert "turn &lt;b&gt;" in page and "<script" not in page
    assert "Synthetic speech: the error rates say nothing about human speech." in page
    assert "| BiLSTM | 20.00% |" in paths[1].read_text()
    assert json.loads(paths[0].read_text())["families"]["bilstm"]["wer_by_minutes"] == {"10": 0.5, "60": 0.2}
    assert figures(made_up)["families"]["lstm"]["step_exponent"] == pytest.approx(1.0)


def test_a_quick_study_has_a_caveat():
    assert "Made with --quick" in markdown(dataclasses.replace(results(), quick=True))


@pytest.mark.slow
def test_more_work_than_processes(tmp_path):
    """Each job has a process of its own, and none is left over."""
    jobs = [Job("part", tmp_path / f"{n}.json", LengthCurve, LengthCurve, ([1.0], [float(n)])) for n in range(5)]
    assert [curve.wer for curve in run_all(jobs, 2)] == [[float(number)] for number in range(5)]


@pytest.mark.slow
def test_an_error_in_one_job_is_reported_before_the_others_end(tmp_path):
    jobs = [
        Job("long", tmp_path / "long.json", LengthCurve, time.sleep, (300.0,)),
        Job("wrong", tmp_path / "wrong.json", LengthCurve, time.sleep, (-1.0,)),
    ]
    started = time.monotonic()
    with pytest.raises(ValueError, match="negative"):
        run_all(jobs, 2)
    assert time.monotonic() - started < 100
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("encoder", FAMILIES)
@pytest.mark.parametrize("config", [ModelConfig(), ModelConfig(channels=8, layers=2, width=128)])
def test_families_can_have_the_same_number_of_parameters(encoder, config):
    wanted = AcousticModel(config, 80, 100).parameter_count()
    matched = match_width(ModelConfig(encoder, channels=config.channels, layers=config.layers), 80, 100, wanted)
    assert matched.encoder == encoder and matched.layers == config.layers
    assert AcousticModel(matched, 80, 100).parameter_count() == pytest.approx(wanted, rel=0.02)
