"""Training of punctuation models: what they learn, resuming, their scores and the offsets of their marks."""

import contextlib
import itertools

import numpy as np
import pytest
from command_line import COMPLETE, ERROR, assert_told

from asr.cli.info import describe
from asr.errors import Interrupted, ModelFileError
from asr.punctuation.config import PunctuationConfig
from asr.punctuation.corpus import read_text
from asr.punctuation.labeller import Labeller
from asr.punctuation.labels import MARKS, write
from asr.punctuation.model_file import load_punctuation
from asr.punctuation.scores import confusions
from asr.punctuation.thresholds import f1_offsets

STORY = "Mr. Smith owed him twenty pounds; what was he to do? He didn't know."


@pytest.mark.slow
def test_training_learns_and_a_finished_run_stays(asr, text_file, tmp_path):
    """Sentences end after `know`."""
    text = text_file(*[STORY, "London was cold, and Paris warm."] * 150)
    small = ["--width", 16, "--embedding", 16, "--buckets", 512, "--epochs", 4, "--learning_rate", 0.01]
    small += ["--checkpoint_minutes", 0, "--precision", "float32", "--batch_words", 256]
    done = asr("punctuate", "train", text, "-o", tmp_path / "p.safetensors", *small)
    assert done.returncode == COMPLETE, done.stderr
    assert done.stdout == f"model  {tmp_path / 'p.safetensors'}\n"
    labeller = Labeller(tmp_path / "p.safetensors")
    words = ["he", "didn't", "know", "london", "was", "cold", "and", "paris", "warm"]
    pairs = write(words, *labeller.label(words))
    assert " ".join(map("".join, pairs)) == "He didn't know. London was cold, and Paris warm."
    again = asr("punctuate", "train", text, "-o", tmp_path / "p.safetensors", *small)
    assert again.returncode == COMPLETE and "this run is finished" in again.stderr
    other = asr("punctuate", "train", text, "-o", tmp_path / "p.safetensors", *small, "--width", 24)
    assert_told(other, ERROR, "p-run: this run was begun with width = 16, now it is 24")
    shown = asr("info", tmp_path / "p.safetensors")
    assert shown.returncode == COMPLETE and "text.txt" in shown.stdout and "case accuracy" in shown.stdout
    measured = asr("punctuate", "evaluate", tmp_path / "p.safetensors", text)
    assert measured.returncode == COMPLETE and "question mark" in measured.stdout


def test_resumed_training_ends_with_the_same_weights(text_file, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from asr.training.punctuation import PunctuationTraining

    config = PunctuationConfig(
        width=8, embedding=8, buckets=97, window=20, batch_words=100, precision="float32", epochs=1.5
    )
    train, dev = read_text([text_file(*[STORY] * 60)]).split(600)

    def run(name, stop_at=None):
        training, updates = (
            PunctuationTraining(train, dev, tmp_path / f"{name}.safetensors", config),
            itertools.count(1),
        )
        asked = contextlib.nullcontext(lambda: next(updates) == stop_at)
        monkeypatch.setattr("asr.training.text_run.interruptible", lambda: asked)
        training.run(seed=0, checkpoint_minutes=5.0)
        assert training.progress.epoch == 2, "the whole text, and half of it"
        return training.finish()[0]

    whole = run("whole")
    with pytest.raises(Interrupted, match="update 3"):
        run("parts", stop_at=3)
    parts = run("parts")
    assert all((whole[name] == parts[name]).all() for name in whole)


def test_training_goes_on_from_a_base(text_file, tmp_path):
    """With a learning rate too low to change anything, the weights and sizes are the base's, up to rounding."""
    pytest.importorskip("torch")
    from asr.training.punctuation import train_punctuation

    text = text_file(*[STORY] * 60)
    config = PunctuationConfig(width=8, layers=1, embedding=12, buckets=97, epochs=0.5, precision="float32")
    first = load_punctuation(train_punctuation([text], tmp_path / "first.safetensors", config))
    config = PunctuationConfig(base=tmp_path / "first.safetensors", epochs=0.5, precision="float32", learning_rate=1e-9)
    second = load_punctuation(train_punctuation([text], tmp_path / "second.safetensors", config))
    assert second.sizes == first.sizes == {"width": 8, "layers": 1, "embedding": 12, "buckets": 97}
    for name in set(first.weights) - {"head.bias"}:  # which is tuned at the end
        np.testing.assert_allclose(second.weights[name], first.weights[name], atol=0.01)
    assert second.training["settings"]["base"] == "first.safetensors"
    shown = " ".join(describe(tmp_path / "second.safetensors").split())
    assert f" base {first.training['words']} words (text.txt)" in shown
    with pytest.raises(ModelFileError, match=r"text\.txt: .*not a punctuation model"):
        train_punctuation([text], tmp_path / "third.safetensors", PunctuationConfig(base=text))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", ["He came, and I left.", "One long sentence of ten words is all. I left."])
def test_a_text_of_a_sentence_or_two_is_enough(asr, text_file, tmp_path, text):
    pytest.importorskip("torch")
    small = ["--width", 8, "--embedding", 8, "--buckets", 97, "--epochs", 1]
    done = asr("punctuate", "train", text_file(text), "-o", tmp_path / "p.safetensors", *small)
    assert done.returncode == COMPLETE, done.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Hello.", "no comma, full stop or question mark among the words for training (0)"),
        ("nobody had waited for him as he knew", "words for training (7)"),
        ("Well, nobody had waited for him", "words for dev (1)"),
    ],
)
def test_a_text_without_marks_is_refused(asr, text_file, tmp_path, text, reason):
    pytest.importorskip("torch")
    path = text_file(text)
    done = asr("punctuate", "train", path, "-o", tmp_path / "p.safetensors")
    assert_told(done, ERROR, path, reason, "give more text, with its punctuation")
    story = text_file(STORY, name="story.txt")
    done = asr("punctuate", "train", story, "-o", tmp_path / "p.safetensors", "--dev", text_file("no marks"))
    assert_told(done, ERROR, path, "words for dev (2)")


def test_confusions():
    found = confusions([0, 0, 1, 1], [0, 1, 1, 1], ("none", "comma"))
    assert found.counts.tolist() == [[1, 1], [0, 2]]
    assert (found.accuracy, found.precision(1), found.recall(1), found.f1(1)) == (0.75, 2 / 3, 1.0, 0.8)


def test_offsets_raise_f1_of_rare_marks():
    """A network that gives commas too low a probability, as one does that is trained on few of them."""
    random = np.random.default_rng(0)
    true = (random.random(2000) < 0.2).astype(int)
    scores = np.full((2000, len(MARKS)), -9.0)
    scores[:, :2] = np.stack([np.ones(2000), true + random.normal(0, 0.4, 2000) - 0.5], axis=1)
    before = confusions(true, scores.argmax(-1), MARKS).f1(1)
    offsets = f1_offsets(scores, true)
    assert confusions(true, (scores + offsets).argmax(-1), MARKS).f1(1) > before + 0.1
    assert not offsets[4:].any()
