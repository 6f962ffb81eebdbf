"""benchmarks/decoders.py on made-up log-probabilities, with whichever of the other decoders are installed."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

from decoder_bench import Bench, Data, descend
from decoders import CANDIDATES, VERSIONS, sharpen, split
from report import draw, markdown
from systems import KINDS, Setup, missing, spellable

PIECES = ["", " ", "'", *"acehst"]
ARPA = """\\data\\
ngram 1=8
ngram 2=3

\\1-grams:
-2.0\t<unk>\t0
-99\t<s>\t-0.3
-1.0\t</s>\t0
-0.8\tthe\t-0.3
-0.9\tcat\t-0.2
-1.0\tsat\t-0.2
-1.1\tthat's\t-0.2
-1.3\tdog\t0

\\2-grams:
-0.3\t<s> the
-0.4\tthe cat
-0.5\tcat sat

\\end\\
"""


@pytest.fixture
def arpa(tmp_path) -> Path:
    """A language model whose word 'dog' the characters cannot spell."""
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA)
    return path


def noise(frames: int, seed: int) -> np.ndarray:
    """Random log-probabilities `(frames, tokens)`."""
    return sharpen(np.random.default_rng(seed).normal(0, 2, (frames, len(PIECES))), 1.0)


def speak(text: str) -> np.ndarray:
    """Log-probabilities of a text that hardly leave a choice, a blank behind each character."""
    emission = np.zeros((2 * len(text), len(PIECES)), np.float32)
    for place, character in enumerate(text):
        emission[2 * place, PIECES.index(character)] = emission[2 * place + 1, 0] = 6.0
    return sharpen(emission, 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_all_find_the_same_words_where_it_is_easy(kind, arpa):
    if names := missing(kind):
        pytest.skip(f"{', '.join(names)} is not installed")
    system = KINDS[kind](PIECES, str(arpa))
    system.configure(Setup(beam=16))
    assert system.decode(speak("the cat sat")) == "the cat sat"
    assert system.decode(speak("that's the cat")) == "that's the cat"


@pytest.mark.slow
def test_the_whole_of_it_on_noise(arpa, tmp_path):
    emissions = [noise(12 + index, index) for index in range(6)]
    tuning, measuring = split(["anna", "anna", "anna", "anna", "bert", "bert"])
    versions = {name: [sharpen(emission, factor) for emission in emissions] for name, factor in VERSIONS.items()}
    data = Data(versions, ["the cat sat"] * 6, tuning, measuring, PIECES, 0.04, VERSIONS)
    bench = Bench(data, arpa, [candidate for candidate in CANDIDATES if candidate.kind in ("asr", "flashlight")])
    bench.tune(2)
    bench.measure((4, 16), 1, 1.0)
    variants = bench.variants([(bench.candidates[0].name, {}), (bench.candidates[0].name, {"top_tokens": 2})], 1, 1.0)
    text = markdown(bench, variants, bench.threads((4,), 1), bench.close())
    assert all(version.capitalize() in text for version in VERSIONS)
    assert all(candidate.name in text for candidate in bench.candidates) and "top_tokens 2" in text
    draw(bench, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size < 200_000


def test_speakers_are_halved_and_taken_in_turn():
    assert split(["anna", "anna", "bert", "anna", "bert"]) == ([0, 2, 3], [1, 4])


def test_compass_search_finds_the_lowest_point():
    weight, bonus = descend(lambda a, b: (a - 0.9) ** 2 + (b + 2.25) ** 2, (0.5, 0.0), (0.2, 1.0), 4)
    assert (weight, bonus) == pytest.approx((0.9, -2.25), abs=0.13)


def test_words_that_the_characters_cannot_spell_are_left_out(arpa):
    assert spellable(str(arpa), PIECES) == ["cat", "sat", "that's", "the"]
