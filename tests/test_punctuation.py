"""Punctuation, capital letters and numbers: labels, the network with and without PyTorch, and what users get."""

import json
import pickle
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from command_line import COMPLETE, ERROR, assert_told
from hypothesis import given
from hypothesis import strategies as st
from timed_words import timed

from asr.errors import ModelFileError, TextError
from asr.model.model_file import read_arrays, write_arrays
from asr.output.formats import WRITERS, Document
from asr.output.segments import without_doubtful_segments
from asr.output.subtitles import make_subtitles
from asr.pretrained import ENGLISH
from asr.punctuation.config import WritingConfig
from asr.punctuation.corpus import LabelledText, plan_batches, read_text
from asr.punctuation.features import word_features
from asr.punctuation.labeller import CONTEXT, Labeller
from asr.punctuation.labels import CAPITALISED, CASES, ENDS, FULL_STOP, LOWER, MARKS, NONE, TITLES, write
from asr.punctuation.live import LOOK_AHEAD, LiveWriter
from asr.punctuation.model_file import PunctuationFile, load_punctuation, save_punctuation
from asr.punctuation.pauses import pauses_between, with_pauses
from asr.punctuation.writer import Writer, written
from asr.recognition.recognizer import Recognizer
from asr.transcript import ABBREVIATIONS, ends_sentence

STORY = "Mr. Smith owed him twenty pounds; what was he to do? He didn't know.\n"


def save_network(path, width=8, seed=0):
    """A model file with random weights, of which every label comes up."""
    random, labels = np.random.default_rng(seed), len(CASES) + len(MARKS)
    weights = {"embedding.weight": random.normal(size=(97, 6)), "head.bias": np.zeros(labels)}
    weights["head.weight"] = random.normal(size=(labels, 2 * width))
    for layer, size in enumerate((6, 2 * width)):
        weights |= {f"norms.{layer}.weight": np.ones(2 * width), f"norms.{layer}.bias": np.zeros(2 * width)}
        for direction in ("forwards", "backwards"):
            stem = f"layers.{layer}.{direction}"
            weights[f"{stem}.weight_ih_l0"] = random.normal(size=(4 * width, size))
            weights[f"{stem}.weight_hh_l0"] = random.normal(0, 0.3, size=(4 * width, width))
            weights |= {f"{stem}.bias_{part}_l0": random.normal(size=4 * width) for part in ("ih", "hh")}
    save_punctuation(path, PunctuationFile({name: array.astype(np.float32) for name, array in weights.items()}, 97))
    return path


def read(tmp_path, text):
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    return read_text([tmp_path / "text.txt"])


@pytest.mark.parametrize(
    ("printed", "written_again"),
    [
        ("Mr. Smith owed him twenty pounds; what was he to do?", None),
        ('"You don’t know," she said. "Do you?"', "You don't know, she said. Do you?"),
        ("He came -- slowly -- and went.", "He came — slowly — and went."),
        ("He came--slowly--and went.", "He came — slowly — and went."),
        (
            "Well... I thought, e.g. of J. R. McDonald; and O'Neill.",
            "Well, I thought, e g of J R McDonald; and O'Neill.",
        ),
        ("Dr. Jekyll met St. John, Prof. Stone and the doctor.", "Dr. Jekyll met St. John, Prof Stone and the doctor."),
        ("The BBC said: Yes!", "The BBC said; Yes!"),
        ("a well-known name", "A well known name"),
    ],
)
def test_labels_of_printed_text_write_it_again(tmp_path, printed, written_again):
    text = read(tmp_path, printed)
    assert text.words == [word.lower() for word in text.words]
    assert " ".join(map("".join, write(text.words, text.cases, text.marks))) == (written_again or printed)


def test_titles_are_spoken_in_full(tmp_path):
    assert read(tmp_path, "Mrs. Dalloway met Mr Ramsay.").words == ["missus", "dalloway", "met", "mister", "ramsay"]


def test_paragraphs_that_cannot_be_read_aloud_are_left_out_and_counted(tmp_path):
    text = read(tmp_path, "CHAPTER ONE\nIt was 1984.\nIt was cold.\n\n")
    assert (text.words, text.left_out) == (["it", "was", "cold"], 2)
    with pytest.raises(TextError, match="no words"):
        read(tmp_path, "1984\n")
    with pytest.raises(TextError, match="no such file"):
        read_text([tmp_path / "missing.txt"])


def test_abbreviations_end_no_sentence():
    assert set(TITLES.values()) == set(ABBREVIATIONS)
    assert [ends_sentence(word) for word in ("Mr.", "him.", "him,", "what?", "no!", "him")] == [0, 1, 0, 1, 1, 0]


labels = st.lists(st.tuples(st.integers(0, len(CASES) - 1), st.integers(0, len(MARKS) - 1)), min_size=1, max_size=80)


@given(labels)
def test_written_words_are_those_recognised(rows):
    """Whatever is predicted: as many words, the same but for case and marks, and capitals at the start of sentences."""
    words = [("seven", "mister", "o'neill", "i")[i % 4] for i in range(len(rows))]
    pairs = list(write(words, *zip(*rows, strict=True)))
    assert len(pairs) == len(words)
    for word, (text, _) in zip(words, pairs, strict=True):
        assert text.lower() == word or text == TITLES[word]
    assert pairs[0][0][0].isupper()
    assert all(after[0][0].isupper() for before, after in pairwise(pairs) if before[1] == ".")


@given(labels, st.integers(1, 30), st.integers(0, 3))
def test_examples_cover_every_word_once(rows, longest, seed):
    cases, marks = (np.array(column, np.uint8) for column in zip(*rows, strict=True))
    text = LabelledText(["word"], np.zeros(len(rows), np.int32), cases, marks)
    windows = text.windows(longest, (seed, 0))
    assert windows[:, 1].max() <= longest
    batches = plan_batches(windows, 50, (seed, 0))
    assert sorted(np.concatenate([batch.ravel() for batch in batches])) == list(range(len(rows)))
    assert all(batch.size <= max(50, longest) for batch in batches)


def test_some_examples_end_where_sentences_do(tmp_path):
    text = read(tmp_path, STORY * 400)
    windows = text.windows(30, (0, 0))
    whole = [text.marks[start + length - 1] in ENDS for start, length in windows]
    assert 0.15 < np.mean(whole) < 0.35, "an eighth, and a seventh of the others by chance"


def test_features_of_words_that_training_never_saw():
    known, unknown, other = word_features(["running", "jogging", "house"], 100_003)
    assert len(set(known) & set(unknown)) >= 3, "the endings g, ng, ing"
    assert len(set(known) & set(other)) == 0
    assert (word_features(["running"], 100_003) == known).all()


def test_onnx_computes_what_pytorch_does(tmp_path):
    torch = pytest.importorskip("torch")
    from asr.punctuation.config import PunctuationConfig
    from asr.punctuation.network import PunctuationNetwork

    torch.manual_seed(0)
    network = PunctuationNetwork(PunctuationConfig(width=12, embedding=10, buckets=50, layers=2)).eval()
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    path = tmp_path / "p.safetensors"
    save_punctuation(path, PunctuationFile(weights, 50))
    rounded = load_punctuation(path).weights
    assert all(np.abs(rounded[name] - weights[name]).max() < 3e-3 for name in weights)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in rounded.items()})
    words = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog"]
    with torch.inference_mode():
        scores = network(torch.from_numpy(word_features(words, 50))[None])[0]
    cases, marks = Labeller(path).label(words)
    assert (cases == scores[:, : len(CASES)].argmax(-1).numpy()).all()
    assert (marks == scores[:, len(CASES) :].argmax(-1).numpy()).all()


def test_long_texts_are_labelled_in_parts_with_context(tmp_path, monkeypatch):
    from asr.punctuation import labeller as module

    labeller = Labeller(save_network(tmp_path / "p.safetensors"))
    words = [f"word{i * i % 89}" for i in range(300)]
    whole = labeller.label(words)
    monkeypatch.setattr(module, "LONGEST", 2 * CONTEXT)
    for expected, found in zip(whole, labeller.label(words), strict=True):
        assert (expected == found).mean() > 0.98
    assert len(labeller.label([])[0]) == 0


def test_a_file_that_is_none(tmp_path, model_path):
    with pytest.raises(ModelFileError, match=r"model\.safetensors: not a punctuation model"):
        Labeller(model_path)
    (tmp_path / "p.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match=r"p\.safetensors"):
        Labeller(tmp_path / "p.safetensors")
    weights, metadata = read_arrays(save_network(tmp_path / "q.safetensors"), "file")
    write_arrays(tmp_path / "q.safetensors", weights | {"embedding.weight.scales": np.ones(3)}, metadata)
    with pytest.raises(ModelFileError, match=r"q\.safetensors: damaged.*scales"):
        Labeller(tmp_path / "q.safetensors")


class Fixed:
    """A labeller with the labels of a text."""

    def __init__(self, tmp_path, text):
        self.text = read(tmp_path, text)

    def label(self, words, pauses=None):
        """The labels, if the words are those of the text."""
        assert list(words) == self.text.words
        return self.text.cases, self.text.marks


def test_formats_of_a_written_transcript(tmp_path):
    """Text and subtitles are written; CTM, Praat and what is evaluated stay as recognised."""
    labeller = Fixed(tmp_path, STORY)
    plain = timed(" ".join(labeller.text.words))
    found = written(plain, labeller, digits=False)
    assert found.text == STORY.strip()
    assert [(word.start, word.end, word.confidence) for word in found.words] == [
        (word.start, word.end, word.confidence) for word in plain.words
    ]
    for kind in ("ctm", "TextGrid"):
        assert WRITERS[kind](Document("a", "a.wav", found)) == WRITERS[kind](Document("a", "a.wav", plain))
    record = json.loads(WRITERS["jsonl"](Document("a", "a.wav", found)))
    assert (record["text"], record["pred_text"]) == (found.text, plain.text)
    assert "pred_text" not in json.loads(WRITERS["jsonl"](Document("a", "a.wav", plain)))


def test_subtitles_are_cut_at_sentence_ends(tmp_path):
    sentences = ["He came home late in the evening.", "Nobody had waited for him, as he knew.", "Dr. No did not mind."]
    labeller = Fixed(tmp_path, " ".join(sentences))
    found = written(timed(" ".join(labeller.text.words), gap=0.02), labeller, digits=False)
    assert [" ".join(each.lines) for each in make_subtitles(found)] == sentences


def test_a_segment_that_is_left_out_takes_its_recognised_words_along(tmp_path):
    labeller = Fixed(
        tmp_path, "He came home late in the evening, as he always did. Nobody had waited for him, as he knew."
    )
    plain = timed(" ".join(labeller.text.words), gap=0.02)
    words = tuple(replace(word, confidence=1.0 if word.start > 3.5 else 0.1) for word in plain.words)
    found = without_doubtful_segments(written(replace(plain, words=words), labeller, digits=False), 0.5, 1.0)
    assert found.text == "Nobody had waited for him, as he knew."
    assert found.plain_text == "nobody had waited for him as he knew"


class ByLength:
    """A labeller that looks at the length of a word and of the one after it."""

    def label(self, words, pauses=None):
        """Labels that depend on nothing else."""
        lengths = np.array([*map(len, words), 0])
        return lengths[1:] % len(CASES), (lengths[:-1] + lengths[1:]) % len(MARKS)


@given(
    st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=200),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9), st.booleans()), max_size=20),
)
def test_words_of_a_stream_are_written_once_and_as_those_of_the_recording(words, steps):
    """However the stream comes in parts, and although the words after the final ones may change."""
    plain, writer, end, found = timed(" ".join(words)).words, LiveWriter(ByLength()), 0, []
    for size, ahead, changes in [*steps, (len(words), 0, False)]:
        new, end = plain[end : end + size], end + size
        following = plain[end : end + ahead]
        guessed = [replace(word, text="guess") for word in following] if changes else following
        last = end >= len(words)
        found += writer.add(new, guessed, pause=last)
        assert len(found) + len(writer.waiting) == min(end, len(words))
        assert len(writer.waiting) <= (0 if last else LOOK_AHEAD)
    assert ["".join(filter(str.isalpha, word.text)).lower() for word in found] == words
    assert [(word.start, word.end) for word in found] == [(word.start, word.end) for word in plain]
    if not any(changes for _, _, changes in steps):
        assert found == list(written(timed(" ".join(words)), ByLength(), digits=False).words)


def test_no_word_waits_at_a_pause(tmp_path):
    labeller = Fixed(tmp_path, "Well, he came. Who?")
    words, writer = timed("well he came who").words, LiveWriter(labeller)
    assert writer.add(words[:2], (), pause=False) == ()
    assert writer.waiting == words[:2]
    assert [word.text for word in writer.add(words[2:], (), pause=True)] == ["Well,", "he", "came.", "Who?"]
    assert writer.waiting == ()


def test_writing_is_chosen_by_options_and_by_the_file_beside_the_model(tmp_path):
    model, plain = tmp_path / "model.safetensors", timed("seven three")
    assert Writer(model, WritingConfig())(plain) is plain
    save_network(tmp_path / "punctuation.safetensors")
    found = Writer(model, WritingConfig())(plain)
    assert found.plain_words == plain.words and found.text.lower() != plain.text
    assert Writer(model, WritingConfig(punctuation=False))(plain) is plain


def test_transcribe_with_and_without_punctuation(asr, model_path, noise_file, tmp_path):
    sound = noise_file("talk.wav", 3.0)
    before = asr("transcribe", sound, "-m", model_path, "--format", "jsonl")
    model = tmp_path / "model.safetensors"
    model.write_bytes(model_path.read_bytes())
    save_network(tmp_path / "punctuation.safetensors")
    plain = asr("transcribe", sound, "-m", model, "--format", "jsonl", "--no_punctuation")
    assert (plain.returncode, plain.stdout, plain.stderr) == (COMPLETE, before.stdout, "")
    found = asr("transcribe", sound, "-m", model, "--format", "jsonl")
    assert (found.returncode, found.stderr) == (COMPLETE, "")
    record, spoken = json.loads(found.stdout), json.loads(before.stdout)
    assert record["pred_text"] == spoken["text"] != record["text"]
    (tmp_path / "punctuation.safetensors").write_bytes(b"nothing")
    assert_told(asr("transcribe", sound, "-m", model), ERROR, "punctuation.safetensors: cut short, damaged")


def test_weights_of_a_file_are_those_that_were_saved(tmp_path):
    generator = np.random.default_rng(1)
    weights = {"head.weight": generator.normal(size=(5, 40)), "head.bias": generator.normal(size=5)}
    save_punctuation(tmp_path / "p.safetensors", PunctuationFile(weights, 1))
    found = load_punctuation(tmp_path / "p.safetensors").weights
    assert found.keys() == weights.keys()
    for name, array in weights.items():
        limit = abs(array).max() / 127 if array.ndim == 2 else 1e-3
        np.testing.assert_allclose(found[name], array, atol=limit)


def test_pauses_make_and_take_back_full_stops():
    """Without a pause the network's full stop goes, and with a long one it is written where the words leave it open."""
    marks = np.full((3, len(MARKS)), -9.0)
    marks[:, NONE], marks[0, FULL_STOP], marks[1, FULL_STOP] = 0.0, 1.0, -1.0
    cases = np.zeros((3, len(CASES)))
    cases[1:, CAPITALISED] = 1.0
    new_cases, new_marks = with_pauses(cases, marks, np.array([0.0, 0.8, 0.1]))
    assert marks.argmax(-1).tolist() == [FULL_STOP, NONE, NONE]
    assert new_marks.argmax(-1).tolist() == [NONE, FULL_STOP, NONE]
    assert new_cases.argmax(-1).tolist() == [LOWER, LOWER, CAPITALISED]
    assert np.isinf(pauses_between(timed("one two").words)[-1]) and len(pauses_between(())) == 0


def test_the_english_model_is_small_and_knows_names_and_questions():
    path = ENGLISH.with_name("punctuation.safetensors")
    assert path.stat().st_size <= 4e6
    labeller = Labeller(path)

    def punctuated(text: str) -> str:
        return written(timed(text), labeller, digits=False).text

    assert punctuated("where are you going asked mary") == "Where are you going? asked Mary."
    door = punctuated("he pushed open the door and announced mister smith who owed him twenty three pounds")
    assert door.startswith("He pushed") and "Mr. Smith" in door and door.endswith("pounds.")


def test_the_recipe_shows_its_figures():
    recipe = Path(__file__).parent.parent / "recipes" / "punctuation"
    expected, shown = json.loads((recipe / "expected.json").read_text()), (recipe / "README.md").read_text()
    for part in ("test", "lookup", "recognised"):
        for figure in expected[part]["f1"].values():
            assert f"{figure:.3f}" in shown
        assert f"{expected[part]['case_accuracy']:.2%}" in shown


@pytest.mark.slow
def test_a_recogniser_that_has_written_can_be_sent_to_another_process():
    recording = Path(__file__).parent / "data" / "1088-134315-0013.opus"
    recognizer = Recognizer.load()
    found = recognizer.transcribe(recording)
    assert found.text != found.text.lower()
    assert pickle.loads(pickle.dumps(recognizer)).transcribe(recording) == found
