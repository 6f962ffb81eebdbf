"""The synthetic corpus: deterministic, voices apart, texts of the grammar."""

import hashlib

import numpy as np
import pytest
import soundfile

from asr.audio.espeak import Espeak
from asr.data.config import SyntheticConfig
from asr.data.corpora.synthetic import DIGITS, generate, record, sentence, split_voices
from asr.errors import ManifestError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    config = SyntheticConfig(train=4, dev=1, test=2)
    return folder, config, list(generate("digits+commands", folder, config))


def digests(folder) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.flac"))]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files_whatever_the_size(corpus, tmp_path):
    folder, _, candidates = corpus
    larger = SyntheticConfig(train=5, dev=1, test=2)
    again = list(generate("digits+commands", tmp_path, larger))
    assert [c.text for c in candidates] == [c.text for c in again if c.id != "train-00004"]
    (tmp_path / "train" / "train-00004.flac").unlink()
    assert digests(folder) == digests(tmp_path)


@pytest.mark.slow
def test_another_seed_gives_another_corpus(corpus, tmp_path):
    other = list(generate("digits+commands", tmp_path, SyntheticConfig(train=4, dev=1, test=2, seed=1)))
    assert [c.text for c in corpus[2]] != [c.text for c in other]


def test_utterances_are_marked_synthetic_and_hold_sound(corpus):
    for candidate in corpus[2]:
        samples, rate = soundfile.read(candidate.audio)
        assert candidate.extra["synthetic"] and candidate.speaker
        assert rate == 16000 and len(samples) > 3000 and 0.05 < np.abs(samples).max() <= 1


def test_at_least_80_voices_none_in_two_subsets():
    names = Espeak().voices()
    split = split_voices(names, seed=0)
    assert len(names) >= 80
    assert sorted(name for part in split.values() for name in part) == sorted(names)
    assert len(split["test"]) >= 15 and len(split["dev"]) >= 5
    families = [{name.rstrip("0123456789") for name in part if len(name) > 3} for part in split.values()]
    assert not families[0] & families[1] and not families[0] & families[2] and not families[1] & families[2]


def test_digits_are_one_to_seven_words():
    lengths = {len(sentence("digits", np.random.default_rng(seed)).split()) for seed in range(300)}
    assert lengths == set(range(1, 8))
    assert set(sentence("digits", np.random.default_rng(1)).split()) <= set(DIGITS)


def share_with_sound_before_the_speech(**shares) -> float:
    speech = np.sin(np.arange(8000) * 0.2).astype(np.float32)
    recordings = [record(speech, SyntheticConfig(**shares), np.random.default_rng(seed)) for seed in range(200)]
    return np.mean([np.abs(samples[:400]).max() > 1e-6 for samples in recordings])


def test_noise_is_as_frequent_as_configured():
    assert share_with_sound_before_the_speech(noise_share=0, reverberation_share=1) == 0
    assert share_with_sound_before_the_speech(noise_share=1, reverberation_share=0) == 1
    assert 0.3 < share_with_sound_before_the_speech(noise_share=0.5, reverberation_share=0) < 0.7


def test_a_room_adds_a_tail_behind_the_speech():
    speech = np.sin(np.arange(8000) * 0.2).astype(np.float32)
    dry, wet = (
        record(speech, SyntheticConfig(noise_share=0, reverberation_share=share), np.random.default_rng(5))
        for share in (0, 1)
    )
    assert np.count_nonzero(np.abs(wet) > 1e-3) > np.count_nonzero(np.abs(dry) > 1e-3) + 400


def test_unknown_source():
    with pytest.raises(ManifestError, match=r"digits, commands, digits\+commands"):
        next(generate("songs", None, SyntheticConfig()))
