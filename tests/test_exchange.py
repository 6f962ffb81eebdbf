"""Corpora to and from Lhotse, Kaldi, NeMo and Hugging Face's `datasets`: what these libraries write is read, and what
is written for them is read back by them."""

import dataclasses
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import COMPLETE, ERROR, PARTLY

from asr.audio.io import load_audio
from asr.data.manifest import Utterance, load_utterance, read_manifest, write_manifest
from asr.utils import storage
from asr.utils.files import write_atomically

RATE = 16000


@pytest.fixture
def corpus(tmp_path, noise_file):
    """A manifest of a whole recording of each of two speakers, and of two parts of a third recording."""
    whole = [
        Utterance(f"{name}-1", noise_file(f"{name}.wav", 1.0, seed=i), 1.0, f"a b {name}", name)
        for i, name in enumerate(("anna", "bert"))
    ]
    long = noise_file("talks/long.flac", 3.0, seed=7)
    parts = [Utterance(f"anna-{n}", long, 1.0, "c d", "anna", offset) for n, offset in ((2, 0.5), (3, 1.75))]
    return write_manifest(tmp_path / "lists" / "train.jsonl", [*whole, *parts])


def facts(path: Path) -> dict[str, tuple]:
    """What must survive a round trip, by the id: text, speaker, and the audio itself."""
    return {
        u.id: (u.text, u.speaker, np.round(load_utterance(u, RATE).samples, 3).tolist()) for u in read_manifest(path)
    }


slow_to_import = [pytest.param(toolkit, marks=pytest.mark.slow) for toolkit in ("lhotse", "huggingface")]


@pytest.mark.parametrize("to", ["kaldi", "nemo", *slow_to_import])
def test_there_and_back(asr, corpus, tmp_path, to):
    if to in ("lhotse", "huggingface"):
        pytest.importorskip({"lhotse": "lhotse", "huggingface": "datasets"}[to])
    done = asr("convert", corpus, "-o", tmp_path / "other", "--to", to)
    assert done.returncode == COMPLETE, done.stderr
    written = [Path(line) for line in done.stdout.splitlines()]
    assert written and all(path.is_file() for path in written)
    source = written[0] if to in ("nemo", "huggingface") else tmp_path / "other"
    back = asr("prepare", to, source, "-o", tmp_path / "back")
    assert back.returncode == COMPLETE, back.stderr + back.stdout
    (manifest,) = [path for path in (tmp_path / "back").glob("*.jsonl") if path.name != "rejects.jsonl"]
    assert facts(manifest) == facts(corpus)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["kaldi", "nemo", *slow_to_import])
def test_there_and_back_in_an_object_store(asr, noise_file, tmp_path, to):
    """Manifests, recordings and what is written are all at URLs."""
    store = f"memory://exchange-{to}"
    for name in ("a", "b"):
        write_atomically(f"{store}/{name}.wav", noise_file(f"{name}.wav", 1.0, seed=ord(name)).read_bytes())
    lines = [{"id": n, "audio_filepath": f"{n}.wav", "duration": 1.0, "text": n, "speaker": n} for n in ("a", "b")]
    lines[1] |= {"offset": 0.25, "duration": 0.5}
    write_atomically(f"{store}/train.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert asr("convert", f"{store}/train.jsonl", "-o", f"{store}/train", "--to", to).returncode == COMPLETE
    source = f"{store}/train/train.json" if to == "nemo" else f"{store}/train"
    done = asr("prepare", to, source, "-o", tmp_path / "back")
    assert done.returncode == COMPLETE, done.stderr + done.stdout
    found = read_manifest(tmp_path / "back" / "train.jsonl")
    if to != "huggingface":  # which contains the recordings
        assert [storage.url(u.audio_filepath) for u in found] == [f"{store}/a.wav", f"{store}/b.wav"]
    assert [(u.text, u.speaker, u.duration) for u in found] == [("a", "a", 1.0), ("b", "b", 0.5)]


def test_lhotse_reads_what_is_written(asr, corpus, tmp_path):
    lhotse = pytest.importorskip("lhotse")
    assert asr("convert", corpus, "-o", tmp_path / "lhotse", "--to", "lhotse").returncode == COMPLETE
    cuts = lhotse.load_manifest(tmp_path / "lhotse" / "train_cuts.jsonl")
    lhotse.validate(cuts)
    utterances = {utterance.id: utterance for utterance in read_manifest(corpus)}
    assert {cut.id for cut in cuts} == set(utterances)
    for cut in cuts:
        assert np.allclose(
            cut.load_audio()[0],
            soundfile.read(
                utterances[cut.id].audio_filepath,
                start=round(RATE * (utterances[cut.id].offset or 0)),
                frames=RATE,
            )[0],
            atol=1e-4,
        )
        assert cut.supervisions[0].text == utterances[cut.id].text
    pair = [
        lhotse.load_manifest(tmp_path / "lhotse" / f"train_{kind}.jsonl") for kind in ("recordings", "supervisions")
    ]
    lhotse.validate_recordings_and_supervisions(*pair)


@pytest.mark.slow
def test_lhotse_writes_what_is_read(asr, noise_file, tmp_path):
    lhotse = pytest.importorskip("lhotse")
    sound, stereo = noise_file("one.wav", 2.0), noise_file("two.wav", 1.0, channels=2)
    recordings = lhotse.RecordingSet.from_recordings(
        [lhotse.Recording.from_file(sound, "one"), lhotse.Recording.from_file(stereo, "two")]
    )
    supervisions = lhotse.SupervisionSet.from_segments(
        [
            lhotse.SupervisionSegment("s1", "one", 0.5, 1.0, text="a b", speaker="anna", language="English"),
            lhotse.SupervisionSegment("s2", "two", 0.0, 1.0, channel=1, text="c d"),
        ]
    )
    folder = tmp_path / "lhotse"
    folder.mkdir()
    cuts = lhotse.CutSet.from_manifests(recordings, supervisions)
    cuts.to_file(folder / "cuts_dev.jsonl.gz")
    padded = cuts.subset(first=1).pad(duration=5.0)
    padded.to_file(folder / "cuts_padded.jsonl.gz")
    done = asr("prepare", "lhotse", folder, "-o", tmp_path / "out")
    assert done.returncode == PARTLY
    (utterance,) = read_manifest(tmp_path / "out" / "dev.jsonl")
    assert (utterance.id, utterance.offset, utterance.duration, utterance.speaker) == ("s1", 0.5, 1.0, "anna")
    assert utterance.extra["language"] == "English"
    rejects = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert {reject["reason"].partition(";")[0] for reject in rejects} == {
        "one channel of several",
        "a mixed or padded cut",
    }
    recordings.to_file(folder / "x.jsonl")
    wrong = asr("prepare", "lhotse", folder / "x.jsonl", "-o", tmp_path / "out")
    assert wrong.returncode == ERROR and "RecordingSet" in wrong.stderr and wrong.stderr.count("\n") == 1


@pytest.mark.slow
def test_lhotse_reads_the_kaldi_directory(asr, corpus, tmp_path):
    pytest.importorskip("lhotse")
    from lhotse.kaldi import load_kaldi_data_dir

    assert asr("convert", corpus, "-o", tmp_path / "kaldi", "--to", "kaldi").returncode == COMPLETE
    recordings, supervisions, _ = load_kaldi_data_dir(tmp_path / "kaldi", sampling_rate=RATE)
    assert len(recordings) == 3
    assert {(each.id, each.text, each.speaker) for each in supervisions} == {
        (each.id, each.text, each.speaker) for each in read_manifest(corpus)
    }
    for name in ("text", "utt2spk", "wav.scp", "segments", "spk2utt"):
        lines = (tmp_path / "kaldi" / name).read_bytes().splitlines()
        assert lines == sorted(lines)


def test_kaldi_ids_begin_with_the_speaker_and_have_no_spaces(asr, corpus, tmp_path):
    utterances = [dataclasses.replace(u, id=f"no {i}") for i, u in enumerate(read_manifest(corpus))]
    write_manifest(corpus, utterances)
    assert asr("convert", corpus, "-o", tmp_path / "kaldi", "--to", "kaldi").returncode == COMPLETE
    assert (tmp_path / "kaldi" / "text").read_text().splitlines()[0] == "anna-no_0 a b anna"
    write_manifest(corpus, [dataclasses.replace(utterances[0], id="x y"), dataclasses.replace(utterances[2], id="x_y")])
    done = asr("convert", corpus, "-o", tmp_path / "kaldi2", "--to", "kaldi")
    assert done.returncode == ERROR and "anna-x_y" in done.stderr


def test_commands_of_kaldi_run_only_by_option(asr, noise_file, tmp_path):
    sound = noise_file("x.wav", 1.0)
    folder = tmp_path / "kaldi"
    folder.mkdir()
    (folder / "wav.scp").write_text(f"good cat {sound} |\nbad cat {sound} nowhere.wav |\n")
    (folder / "text").write_text("good a b\nbad c d\n")
    refused = asr("prepare", "kaldi", folder, "-o", tmp_path / "out")
    assert refused.returncode == ERROR and "--kaldi.run_commands" in refused.stderr
    assert not list((tmp_path / "out").iterdir())
    done = asr("prepare", "kaldi", folder, "-o", tmp_path / "out", "--kaldi.run_commands")
    assert done.returncode == PARTLY and "command failed with status 1" in done.stdout
    (utterance,) = read_manifest(tmp_path / "out" / "kaldi.jsonl")
    assert np.array_equal(load_utterance(utterance, RATE).samples, load_audio(sound, RATE).samples)


def test_nemo_tars_offsets_and_roots(asr, noise_file, tmp_path):
    sound = noise_file("x.wav", 2.0)
    folder = tmp_path / "nemo"
    folder.mkdir()
    with tarfile.open(folder / "audio_0.tar", "w") as archive:
        archive.add(sound, "../escape/x.wav")
    lines = [
        {"audio_filepath": "x.wav", "duration": 1.0, "offset": 0.0, "text": "a b", "shard_id": 0},
        {"audio_filepath": "x-sub1.wav", "duration": 0.5, "offset": 1.0, "text": "c d", "shard_id": 0},
        {"audio_filepath": "y.wav", "duration": 0.5, "text": "c d", "shard_id": 0},
    ]
    manifest = folder / "tarred_audio_manifest.json"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = asr("prepare", "nemo", manifest, "-o", tmp_path / "out")
    assert done.returncode == PARTLY and "rejected: 1" in done.stdout
    first, second = read_manifest(tmp_path / "out" / "tarred_audio_manifest.jsonl")
    assert first.audio_filepath.resolve().is_relative_to(tmp_path / "out" / "audio")
    assert np.array_equal(load_utterance(second, RATE).samples, load_audio(sound, RATE, 1.0, 0.5).samples)

    (folder / "plain.json").write_text(json.dumps({"audio_filepath": "x.wav", "duration": 2.0, "text": "a b"}) + "\n")
    assert asr("prepare", "nemo", folder / "plain.json", "-o", tmp_path / "plain").returncode == ERROR
    rooted = asr("prepare", "nemo", folder / "plain.json", "-o", tmp_path / "plain", "--nemo.root", sound.parent)
    assert rooted.returncode == COMPLETE

    (folder / "audio_0.tar").write_bytes(b"no tar file")
    broken = asr("prepare", "nemo", manifest, "-o", tmp_path / "out")
    assert broken.returncode == ERROR and "audio_0.tar" in broken.stderr and broken.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("form", ["on disk", "parquet"])
def test_data_sets_that_datasets_has_written(asr, noise_file, tmp_path, form, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    sounds = [noise_file(f"{name}.wav", 1.0, seed=i) for i, name in enumerate("ab")]
    folder = tmp_path / "data"
    folder.mkdir()
    audio = [{"bytes": sound.read_bytes(), "path": sound.name} for sound in sounds]
    data = datasets.Dataset.from_dict({"audio": audio, "sentence": ["a b"] * 2, "speaker_id": [3, 3]})
    data = data.cast_column("audio", datasets.Audio())
    if form == "on disk":
        datasets.DatasetDict({"train": data}).save_to_disk(folder)
    else:
        data.to_parquet(folder / "train-00000-of-00001.parquet")
    arguments = ["prepare", "huggingface", folder, "-o", tmp_path / "out"]
    wrong = asr(*arguments)
    assert wrong.returncode == ERROR and "--huggingface.text_column" in wrong.stderr and "sentence" in wrong.stderr
    done = asr(*arguments, "--huggingface.text_column", "sentence")
    assert done.returncode == COMPLETE, done.stderr
    found = read_manifest(tmp_path / "out" / "train.jsonl")
    assert [(u.text, u.speaker) for u in found] == [("a b", "3")] * 2
    for utterance, sound in zip(found, sounds, strict=True):
        assert np.array_equal(load_utterance(utterance, RATE).samples, load_audio(sound, RATE).samples)
    missing = asr(*arguments, "--huggingface.split", "nowhere")
    assert missing.returncode == ERROR and "nowhere" in missing.stderr and missing.stderr.count("\n") == 1
