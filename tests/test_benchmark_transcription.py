"""benchmarks/transcription.py on noise, with an untrained model."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

from clips import cut, write_long, write_short
from commands import measure
from footprint import first_seconds, installed_bytes, per_second, stages
from transcription import (
    Options,
    Turn,
    against_precision,
    beginning,
    choose,
    duration,
    network_batches,
    share,
    shares,
    take_turns,
    transcribing,
)

from asr.data.manifest import read_manifest
from asr.errors import ConfigError
from asr.recognition.recognizer import Recognizer


@pytest.fixture
def utterances(noise_file, tmp_path):
    """Three recordings of noise."""
    records = [
        {"id": f"{i}", "audio_filepath": str(noise_file(f"{i}.wav", 1.5, seed=i)), "duration": 1.5, "text": "ab ba"}
        for i in range(3)
    ]
    manifest = tmp_path / "all.jsonl"
    manifest.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_manifest(manifest)


@pytest.fixture
def recognizer(model_path):
    return Recognizer.load(model_path, "cpu")


def test_recordings_have_the_requested_lengths(utterances, tmp_path):
    assert soundfile.info(write_long(tmp_path / "long.flac", 61.5, utterances, 16000)).duration == 61.5
    short = write_short(tmp_path, 6, utterances, 16000)
    assert [soundfile.info(path).duration for path in short] == [1, 2, 3, 4, 5, 1]


def test_cutting_loses_and_repeats_nothing():
    pieces = (np.full(3, value) for value in itertools.count())
    assert np.concatenate(list(cut(pieces, [1, 4, 0, 5]))).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_the_network_alone_gets_the_same_input_as_in_transcription(recognizer, utterances):
    names = [str(utterance.audio_filepath) for utterance in utterances]
    turns, batches = take_turns(recognizer, names, 2)
    found = sorted(len(features) for batch in batches for features in batch)
    assert found == [151, 151, 151]  # 1.5 s in frames of 10 ms
    assert len(turns) == 2 and all(turn.whole > (0, 0) and turn.network > (0, 0) for turn in turns)
    assert len(network_batches(recognizer, names[:1])) == 1


def test_a_beginning_has_as_many_batches_as_it_needs():
    batches = [[np.zeros((50, 2))] * 2] * 3  # of a second each
    assert [len(beginning(batches, seconds, 0.01)) for seconds in (0.5, 1.0, 1.5, 99.0)] == [1, 1, 2, 3]


def test_a_share_is_the_median_of_the_rounds():
    turns = [Turn((2.0, 4.0), (1.0, 1.0)), Turn((4.0, 4.0), (3.0, 2.0)), Turn((1.0, 1.0), (0.9, 1.0))]
    assert (share(turns, 0), share(turns, 1)) == (0.75, 0.5)
    cells = [cell.strip() for cell in shares({"short": turns}, 10.0).splitlines()[-1].split("|")[1:-1]]
    assert cells == ["short", "10", "5", "**75%**", "50%"]


@pytest.mark.slow
def test_precisions_give_similar_words(recognizer, utterances):
    batches = {"noise": network_batches(recognizer, [str(each.audio_filepath) for each in utterances])}
    rows = [line.split("|")[1:-1] for line in against_precision(recognizer, batches, utterances, 1).splitlines()[2:]]
    assert [row[0].strip() for row in rows] == ["float32", "int8"]
    assert [float(rows[0][column]) for column in (1, 3)] == [1.0, 0.0]
    assert all(float(row[1]) > 0 for row in rows)


def test_peak_memory_excludes_the_parent_process():
    ballast = np.ones(100_000_000 // 8)
    small, large = measure("pass"), measure("x = bytearray(200_000_000)")
    assert small.peak_bytes < 50_000_000 < 200_000_000 < large.peak_bytes
    assert large.seconds > 0 and ballast.all()


@pytest.mark.slow
def test_a_transcription_is_measured_with_its_start(model_path, noise_file):
    cost = transcribing(noise_file("x.wav"), model_path)
    assert cost.peak_bytes > 60_000_000 and cost.processor > 0.1


def test_quick_omits_long_recordings_and_a_missing_model_is_an_error(model_path, tmp_path):
    options = choose(Options(model=model_path, manifest=model_path, quick=True))
    assert max(options.lengths) == 120 and options.files == 50
    with pytest.raises(ConfigError, match=r"none\.safetensors: no such file; give --model"):
        choose(Options(model=tmp_path / "none.safetensors"))


@pytest.mark.parametrize(("seconds", "shown"), [(1.0, "1 s"), (120, "2 min"), (7200, "2 h")])
def test_durations_are_written_in_suitable_units(seconds, shown):
    assert duration(seconds) == shown


def test_the_size_of_an_installation_includes_requirements_but_no_extras():
    sizes = installed_bytes("onnxruntime")
    assert {"onnxruntime", "numpy", "protobuf"} <= sizes.keys()
    assert not {"torch", "sympy", "pytest"} & sizes.keys()
    assert sizes["numpy"] > 20_000_000


def test_processor_time_per_second_is_of_all_recordings(recognizer, utterances):
    recordings = tuple(Path(utterance.audio_filepath) for utterance in utterances)
    assert all(0 < per_second(recognizer, recordings, together) < 10 for together in (False, True))
    assert len(first_seconds(recordings, 10.0, 16000)) == 160_000


def test_the_shares_of_all_stages_are_the_whole(recognizer, utterances):
    rows = stages(recognizer, tuple(Path(utterance.audio_filepath) for utterance in utterances)).splitlines()[2:]
    names, _, percentages = zip(*([cell.strip() for cell in row.split("|")[1:4]] for row in rows), strict=True)
    assert {"network", "search"} < set(names)
    assert 97 <= sum(int(each.rstrip("%")) for each in percentages) <= 103
