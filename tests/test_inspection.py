"""A recognition from the inside: what is shown is what the recogniser does, and the picture is whole."""

import dataclasses
import re
import warnings

import numpy as np
import pytest
import soundfile
from command_line import COMPLETE, ERROR, assert_told
from hypothesis import given, settings
from hypothesis import strategies as st
from test_report import Page

from asr.audio.io import load_audio
from asr.recognition.recognizer import Recognizer
from asr.transcript import Transcript, Word
from asr.visual.config import InspectConfig
from asr.visual.figure import CHANGED, draw_page, draw_picture, similar_order
from asr.visual.inspection import Partial, kept_words, look_inside, partial_hypotheses


@pytest.fixture(scope="module")
def recognizer(model_path):
    return Recognizer.load(model_path)


@pytest.fixture
def sound(noise_file):
    return noise_file("x.wav", seconds=1.5)


def words(text: str) -> list[Word]:
    return [Word(word, number, number + 0.5, 1.0) for number, word in enumerate(text.split())]


def test_the_picture_shows_the_recognisers_values(recognizer, sound):
    inspection = look_inside(recognizer, sound, "m", InspectConfig(partials=3))
    samples = load_audio(sound).samples
    np.testing.assert_array_equal(inspection.samples, samples)
    assert inspection.transcript.text == recognizer.transcribe(sound).text != ""
    assert "".join(inspection.pieces[token] for token in inspection.path.indices).split() == [
        word.text for word in inspection.transcript.words
    ]
    # The head, applied to the last layer's states, gives the posteriors that are drawn beneath them.
    weights = recognizer.file.weights
    logits = inspection.layers[-1] @ weights["head.weight"].T + weights["head.bias"]
    best = logits.argmax(axis=1)
    np.testing.assert_array_equal(best, inspection.log_probabilities.argmax(axis=1))
    assert len(inspection.layers) == recognizer.file.architecture.layers


def test_partial_hypotheses_are_those_of_the_cut_recording(recognizer, sound):
    samples = load_audio(sound).samples
    final, partials = partial_hypotheses(recognizer, samples, 4)
    assert [partial.seconds for partial in partials] == [0.375, 0.75, 1.125, 1.5]
    for partial in partials:
        alone = recognizer.transcribe(samples[: round(partial.seconds * 16000)])
        assert [word.text for word in partial.words] == alone.text.split()
        assert all(word.end <= partial.seconds for word in partial.words)
    assert final.text.split() == [word.text for word in partials[-1].words] and all(partials[-1].kept)


@pytest.mark.parametrize(
    ("partial", "final", "kept"),
    [
        ("turn of", "turn off the light", [True, False]),
        ("call the", "turn on the", [False, True]),
        ("two two", "two", [True, False]),
        ("", "two", []),
        ("two", "", [False]),
    ],
)
def test_words_that_later_change(partial, final, kept):
    assert list(kept_words(words(partial), words(final))) == kept


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_kept_words_are_a_part_of_the_final_ones_in_order(partial, final):
    kept = kept_words(words(" ".join(partial)), words(" ".join(final)))
    remaining = iter(final)
    assert all(word in remaining for word, is_kept in zip(partial, kept, strict=True) if is_kept)


def test_units_that_rise_and_fall_together_are_neighbours():
    time = np.linspace(0, 20, 200)
    kinds = np.arange(30) % 3
    states = np.stack([np.sin(time + 2 * kind) for kind in kinds], axis=1)
    states += 0.01 * np.random.default_rng(0).standard_normal(states.shape)
    ordered = kinds[similar_order(states - states.mean(axis=0))]
    assert np.count_nonzero(np.diff(ordered)) <= 3  # the circle of angles may be cut within one kind


def test_only_the_beginning_of_a_long_recording(recognizer, noise_file):
    long = noise_file("long.wav", seconds=5)
    inspection = look_inside(recognizer, long, "m", InspectConfig(seconds=2.0, partials=2))
    assert inspection.title == "long.wav: the first 2.0 s of 5.0 s, by m"
    assert inspection.transcript == recognizer.transcribe(load_audio(long, duration=2.0).samples)
    assert len(inspection.log_mel) == 201


def test_the_page_has_the_words_and_everything_in_it(recognizer, sound):
    inspection = look_inside(recognizer, sound, "m", InspectConfig(partials=5))
    changed = Partial(0.3, tuple(words("kept not")), (True, False))
    page = Page(text := draw_page(dataclasses.replace(inspection, partials=[changed, *inspection.partials])))
    for word in (*inspection.transcript.words, *changed.words):
        assert word.text in page.text
    for row in ("waveform", "log-mel", "layer 1", "posteriors", "greedy path", "words", "partial", "seconds"):
        assert row in page.text
    links = [value for name, value in page.values if name in ("src", "href", "xlink:href")]
    assert links and all(value.startswith(("data:", "#")) for value in links), "nothing to load"
    assert re.findall(rf"fill: {CHANGED}[^>]*>(.*?)<", text) == ["not"]


@pytest.mark.parametrize("name", ["<script>$x$</script> ^ö_{\\ 录音", "line\nend", "bad\udcff"])
def test_odd_names_and_words_are_shown_as_they_are(recognizer, sound, name):
    inspection = look_inside(recognizer, sound, "m", InspectConfig(partials=2))
    transcript = Transcript(name, (Word(name, 0.1, 0.3, 1.0),), 1.5)
    odd = dataclasses.replace(inspection, name=name, transcript=transcript)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = Page(draw_page(odd))
        assert draw_picture(odd, "png").startswith(b"\x89PNG")
    assert page.tags.count("script") == 1
    assert page.text.count(name.replace("\n", "�").replace("\udcff", "�")) >= 2


@pytest.mark.parametrize("samples", [1, 2, 300, 16000])
def test_silence_and_next_to_nothing(recognizer, tmp_path, samples):
    path = tmp_path / "short.wav"
    soundfile.write(path, np.zeros(samples), 16000)
    inspection = look_inside(recognizer, path, "m", InspectConfig(partials=3))
    wordless = Transcript("", (), samples / 16000)
    inspection = dataclasses.replace(inspection, transcript=wordless, partials=[Partial(0.1, (), ())])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw_picture(inspection, "png").startswith(b"\x89PNG")


def test_the_command(asr, sound, model_path, tmp_path, recognizer):
    for name, start in (("out/x.html", b"<!DOCTYPE html>"), ("out/x.png", b"\x89PNG")):
        result = asr("inspect", sound, "--model", model_path, "-o", tmp_path / name)
        assert (result.returncode, result.stderr) == (COMPLETE, "")
        assert recognizer.transcribe(sound).text in result.stdout and str(tmp_path / name) in result.stdout
        assert (tmp_path / name).read_bytes().lstrip().startswith(start)


def test_inputs_that_cannot_be_shown(asr, sound, model_path, tmp_path, noise_file):
    assert_told(asr("inspect", sound, "-m", model_path, "-o", "x.jpg"), ERROR, "x.jpg", ".html or .png")
    missing = tmp_path / "none.wav"
    assert_told(asr("inspect", missing, "-m", model_path, "-o", tmp_path / "x.png"), ERROR, missing)
    assert_told(asr("inspect", sound, "-m", missing, "-o", tmp_path / "x.png"), ERROR, missing)
    assert_told(
        asr("inspect", sound, "-m", model_path, "-o", tmp_path / "x.png", "--seconds", 61), ERROR, "seconds", "60"
    )
    assert not (tmp_path / "x.png").exists()
