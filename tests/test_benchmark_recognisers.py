"""benchmarks/recognisers.py on noise, with an untrained model and a stub in place of the other recogniser."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

import recognisers
from engines import Asr, EngineRun, Pocketsphinx, pcm, run_engine
from recognisers import OURS, Options, Result, check, evaluate_run, markdown, relation

from asr.data.manifest import Utterance, read_manifest
from asr.errors import AudioError, ConfigError


class Stub:
    """Recognises each utterance's name, its process, and how many it was asked for before."""

    threaded = False

    def __init__(self, *arguments: str):
        self.arguments, self.asked = arguments, 0

    def recognize(self, utterances):
        texts = [f"{each.id} {os.getpid()} {self.asked + place}" for place, each in enumerate(utterances)]
        self.asked += len(utterances)
        return texts


class Deaf(Stub):
    """Cannot read the long recordings."""

    def recognize(self, utterances):
        for utterance in utterances:
            if utterance.duration > 1.25:
                raise AudioError(f"{utterance.audio_filepath}: no such file")
        return super().recognize(utterances)


@pytest.fixture
def cores():
    """Two places to run in, of one core where there are no two."""
    available = sorted(os.sched_getaffinity(0))
    return [available[0], available[-1]]


@pytest.fixture
def manifest(noise_file, tmp_path):
    """Five recordings of noise by two speakers, from short to long."""
    records = [
        {
            "id": f"u{i}",
            "audio_filepath": str(noise_file(f"{i}.wav", 1 + i / 10, seed=i)),
            "duration": 1 + i / 10,
            "text": "a bad cab",
            "speaker": f"s{i % 2}",
        }
        for i in range(5)
    ]
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.slow
def test_processes_share_the_utterances_which_come_back_in_order(manifest, cores):
    run = run_engine(Stub, ("any",), read_manifest(manifest), cores)
    names, processes, places = zip(*(text.split() for text in run.texts), strict=True)
    assert names == ("u0", "u1", "u2", "u3", "u4")
    # From long to short in turn; each has run one before, which loads what is loaded on first use.
    assert processes[4] == processes[2] == processes[0] != processes[3] == processes[1]
    assert places == ("3", "2", "2", "1", "1")
    assert str(os.getpid()) not in processes
    assert run.seconds > 0 and run.load_seconds > 0 and run.peak_bytes > 2 * 20_000_000


@pytest.mark.slow
def test_a_recording_that_cannot_be_read_is_an_error(manifest, cores):
    with pytest.raises(AudioError, match=r"4\.wav: no such file|3\.wav: no such file"):
        run_engine(Deaf, (), read_manifest(manifest), cores)


@pytest.mark.slow
def test_asr_recognises_the_same_in_its_process_as_here(model_path, manifest, cores):
    from asr.recognition.recognizer import Recognizer

    utterances = read_manifest(manifest)
    run = run_engine(Asr, (model_path,), utterances, cores)
    recognizer = Recognizer.load(model_path, "cpu")
    assert run.texts == [recognizer.transcribe(utterance.audio_filepath).text for utterance in utterances]
    missing = dataclasses.replace(utterances[0], audio_filepath=manifest.with_name("none.wav"))
    with pytest.raises(AudioError, match=r"none\.wav: no such file"):
        run_engine(Asr, (model_path,), [missing], cores)


@pytest.mark.slow
def test_pocketsphinx_is_given_the_samples_of_the_recording(tmp_path):
    decoder = pytest.importorskip("pocketsphinx").Decoder()
    from asr.audio.espeak import Espeak

    espeak = Espeak()
    speech = soxr.resample(espeak.say("go forward ten meters", "en-us", 140, 50), espeak.sample_rate, 16000)
    path = tmp_path / "speech.wav"
    soundfile.write(path, 0.5 * speech, 16000)
    decoder.start_utt()
    decoder.process_raw(soundfile.read(path, dtype="int16")[0].tobytes(), full_utt=True)
    decoder.end_utt()
    run = Pocketsphinx().recognize([Utterance("1", path, len(speech) / 16000, "")])
    assert run == [decoder.hyp().hypstr] and len(run[0].split()) > 1


def test_samples_become_16_bit_integers_and_are_clipped():
    whole = np.frombuffer(pcm(np.array([-2, -1, -0.5, 0, 1, 2], np.float32)), "<i2")
    assert whole.tolist() == [-32767, -32767, -16384, 0, 32767, 32767]


def test_a_missing_package_or_model_is_an_error_of_one_line(model_path, manifest, monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(ConfigError, match=r"^pocketsphinx: not installed; pip install -e '\.\[bench\]'$"):
        check(Options((manifest,), model_path))
    monkeypatch.setattr(recognisers.importlib.util, "find_spec", lambda name: name)
    check(Options((manifest,), model_path))
    with pytest.raises(ConfigError, match=r"none\.safetensors: no such file; give --model"):
        check(Options((manifest,), manifest.with_name("none.safetensors")))


def test_a_table_has_both_and_how_many_times_as_fast_ours_is(manifest):
    pytest.importorskip("whisper_normalizer")
    utterances = read_manifest(manifest)  # 6 s, of 15 words
    ours = EngineRun(["A bad cab."] * 4 + ["a bad dab"], 2.0, 0.3, 0.6, 400_000_000)
    other = EngineRun(["add"] * 5, 1.0, 3.0, 4.5, 200_000_000)
    results = {
        name: Result(evaluate_run(name, manifest, utterances, run), run, size)
        for name, run, size in ((OURS, ours, 20_000_000), ("pocketsphinx", other, 40_000_000))
    }
    lines = markdown(results).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:4]]
    assert [row[:2] for row in rows] == [["asr", "6.67"], ["pocketsphinx", "100.00"]]
    assert rows[0][3].startswith("0.00 to ") and rows[1][2:4] == ["100.00 to 100.00"] * 2
    assert [row[5:] for row in rows] == [
        ["0.0500", "0.1000", "", "2.0", "0.40", "20"],
        ["0.5000", "0.7500", "**10.0**", "1.0", "0.20", "40"],
    ]
    assert lines[-1] == "pocketsphinx: 95% intervals by speaker apart, ours below; by utterance apart, ours below."


@pytest.mark.parametrize(
    ("ours", "other", "said"),
    [
        ((0.1, 0.2), (0.3, 0.4), "apart, ours below"),
        ((0.3, 0.4), (0.1, 0.2), "apart, ours above"),
        ((0.1, 0.3), (0.2, 0.4), "overlapping"),
        ((0.1, 0.2), (0.2, 0.3), "overlapping"),
        (None, (0.2, 0.3), "not known"),
    ],
)
def test_intervals_that_touch_overlap(ours, other, said):
    assert relation(ours, other) == said
