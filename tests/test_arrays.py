"""asr.audio.arrays: samples as recording and audio libraries return them, and what is not samples."""

import multiprocessing

import numpy as np
import pytest
import torch

from asr.audio.arrays import to_mono
from asr.errors import AudioError
from asr.recognition.recognizer import Recognizer

RATE = 16000
MONO = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
STEREO = np.stack([MONO, 0.5 * MONO], axis=1)


@pytest.mark.parametrize(
    "source",
    [
        MONO,
        MONO.astype(np.float64),
        MONO[:, None],
        MONO[None],
        np.stack([MONO, MONO], axis=1),
        np.stack([MONO, MONO]),
        MONO.tolist(),
        tuple(MONO.tolist()),
        torch.from_numpy(MONO),
        torch.from_numpy(MONO).requires_grad_(),
        torch.from_numpy(MONO)[None],
        np.repeat(MONO, 2)[::2],
        MONO.astype(">f4"),
    ],
    ids=lambda source: (
        f"{type(source).__name__}{list(np.shape(source.detach() if hasattr(source, 'detach') else source))}"
    ),
)
def test_every_shape_gives_the_same_samples(source):
    samples, _ = to_mono(source, RATE)
    assert samples.shape == (RATE,) and samples.dtype == np.float32
    np.testing.assert_allclose(samples, MONO, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int8, np.uint8, np.uint16])
def test_integers_have_full_scale_at_their_largest(dtype):
    limits = np.iinfo(dtype)
    half = (limits.max - limits.min + 1) / 2
    values = np.round(MONO * half + limits.min + half).astype(dtype)
    np.testing.assert_allclose(to_mono(values, RATE)[0], MONO, atol=0.6 / half + 1e-7)


def test_python_integers_are_16_bit_samples():
    np.testing.assert_allclose(to_mono([0, 16384, -32768], RATE)[0], [0, 0.5, -1])


def test_low_precision_tensors():
    for dtype in (torch.bfloat16, torch.float16):
        np.testing.assert_allclose(to_mono(torch.from_numpy(MONO).to(dtype), RATE)[0], MONO, atol=2e-3)


@pytest.mark.parametrize("stereo", [STEREO, STEREO.T, torch.from_numpy(STEREO)])
def test_channels_are_mixed_and_reported(stereo):
    samples, notes = to_mono(stereo, RATE)
    np.testing.assert_allclose(samples, 0.75 * MONO, atol=1e-6)
    assert notes == ["2 channels mixed to one"]


def test_channels_that_cancel():
    samples, notes = to_mono(np.stack([MONO, -MONO]), RATE)
    np.testing.assert_array_equal(samples, MONO)
    assert "cancel" in notes[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_nan_and_infinite_samples_are_counted(bad):
    faulty = MONO.copy()
    faulty[[5, 7]] = bad
    with pytest.raises(AudioError, match="2 of 16000 samples"):
        to_mono(faulty, RATE)


@pytest.mark.parametrize(
    "source",
    [
        *(None, {}, b"RIFF", bytearray(8), 3.0, np.array("text"), np.array([None, 1.0])),
        *([[0.1], [0.1, 0.2]], MONO > 0, 1j * MONO, np.zeros((2, 3, 4)), np.zeros((100, 100))),
    ],
    ids=str,
)
def test_what_is_not_samples_is_refused_with_the_remedy(source):
    with pytest.raises(AudioError, match=r"samples|array"):
        to_mono(source, RATE)


@pytest.mark.parametrize("empty", [[], np.zeros(0), np.zeros((0, 2)), np.zeros((1, 0))])
def test_nothing_is_an_empty_recording(empty):
    samples, _ = to_mono(empty, RATE)
    assert samples.shape == (0,)


def test_a_recogniser_accepts_every_shape(model_path):
    recognizer = Recognizer.load(model_path, "cpu")
    wanted = recognizer.transcribe(MONO)
    for source in (MONO[:, None], MONO[None], torch.from_numpy(MONO), MONO.tolist()):
        assert recognizer.transcribe(source) == wanted
    together = recognizer.recognize([MONO[:, None], MONO, MONO.tolist()])
    assert together[0] == together[1] == together[2]
    assert recognizer.transcribe(STEREO).notes == ("2 channels mixed to one",)
    assert recognizer.transcribe([]).duration == 0
    with pytest.raises(AudioError, match="samples"):
        recognizer.transcribe(None)


@pytest.mark.slow
@pytest.mark.parametrize("used_before", [False, True])
def test_a_recogniser_works_in_forked_processes(model_path, used_before):
    recognizer = Recognizer.load(model_path, "cpu")
    if used_before:
        recognizer.transcribe(MONO)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map_async(recognizer.transcribe, [MONO] * 4).get(60)
    assert found == [recognizer.transcribe(MONO)] * 4
