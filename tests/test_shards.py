"""Tar shards: written and read back, by this program and by WebDataset; training from them resumes exactly."""

import dataclasses
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import write_corpus

from asr.config import load_recipe
from asr.data.batching import plan_epoch
from asr.data.config import PrepareConfig
from asr.data.dataset import load_corpora
from asr.data.manifest import Utterance, load_utterance, read_manifest, read_manifests, write_manifest
from asr.data.prepare import prepare
from asr.data.shards import expand
from asr.errors import AudioError, Interrupted, ManifestError
from asr.training.trainer import Trainer, train
from asr.training.training_set import TrainingSet
from asr.utils.distributed import Group

RECIPE = """
output = "{output}"
[data]
train = ["data/train-{{0000..0003}}.tar"]
dev = ["data/dev.jsonl"]
shuffle_shards = 2
[features]
mels = 20
[augment]
speeds = [0.9, 1.0]
[model]
subsampling = 2
channels = 4
layers = 1
width = 16
[training]
epochs = 2
patience = 2
batch_seconds = 4
average = 1
cache_gigabytes = 0
workers = 1
precision = "float32"
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """`data/`, with 22 utterances in four shards, two of them cut out of one recording, and three for dev."""
    folder = tmp_path_factory.mktemp("shards")
    spoken = list(read_manifest(write_corpus(folder, "train", 20, 0)))
    sound = soundfile.read(spoken[0].audio_filepath)[0]
    for number in range(2):
        spoken.append(dataclasses.replace(spoken[0], id=f"part {number}.x", duration=0.4, offset=0.1 * number))
    assert len(sound) / 16000 > 0.5
    spoken[1] = dataclasses.replace(spoken[1], extra={"accent": "en"})
    write_manifest(folder / "train.jsonl", spoken)
    write_corpus(folder, "dev", 3, 1)
    for name in ("train", "dev"):
        summary = prepare("table", str(folder / f"{name}.jsonl"), folder / "data", PrepareConfig(shards=4))
        assert not summary.rejects
    return folder


def sounds(utterances: list[Utterance]) -> dict[str, np.ndarray]:
    return {utterance.id: load_utterance(utterance, 16000).samples for utterance in utterances}


def without_place(utterances: list[Utterance]) -> list[Utterance]:
    """The utterances by id, with all but where their sounds are."""
    bare = [dataclasses.replace(u, audio_filepath=Path(), offset=None, byte_range=None) for u in utterances]
    return sorted(bare, key=lambda utterance: utterance.id)


def test_shards_hold_what_the_manifest_names(corpus):
    before = read_manifest(corpus / "train.jsonl")
    by_manifest = read_manifest(corpus / "data" / "train.jsonl", check_audio=True)
    by_shards = read_manifests([corpus / "data" / "train-{0000..0003}.tar"], check_audio=True)
    assert without_place(before) == without_place(by_manifest) == without_place(by_shards)
    assert sorted(
        map(len, np.split(np.sort(by_shards.shards), np.flatnonzero(np.diff(np.sort(by_shards.shards))) + 1))
    ) == [5, 5, 6, 6]
    expected = sounds(before)
    for found in (sounds(by_manifest), sounds(by_shards)):
        for id, samples in expected.items():
            assert np.allclose(found[id], samples, atol=1e-4), id


def test_numbers_in_braces_are_expanded(tmp_path):
    names = [path.name for path in expand(tmp_path / "a-{08..11}.tar")]
    assert names == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    (tmp_path / "odd{1..2}.jsonl").touch()
    assert expand(tmp_path / "odd{1..2}.jsonl") == [tmp_path / "odd{1..2}.jsonl"]


def test_a_shard_that_has_changed_since_its_manifest_is_noticed(corpus, tmp_path):
    manifest = tmp_path / "train.jsonl"
    manifest.write_bytes((corpus / "data" / "train.jsonl").read_bytes())
    for shard in (corpus / "data").glob("train-*.tar"):
        (tmp_path / shard.name).write_bytes(shard.read_bytes()[512:] + bytes(512))
    with pytest.raises(AudioError, match=r"train-000\d\.tar/train-0\.wav: not at byte \d+ of its shard"):
        sounds([utterance for utterance in read_manifest(manifest) if utterance.id == "train-0"])
    for shard in (corpus / "data").glob("train-*.tar"):
        (tmp_path / shard.name).write_bytes(shard.read_bytes()[:2048])
    with pytest.raises(ManifestError, match=r"train\.jsonl:\d+: no such recording"):
        read_manifest(manifest, check_audio=True)
    with pytest.raises(ManifestError, match=r"train-0000\.tar: not a tar file that can be read"):
        read_manifest(tmp_path / "train-0000.tar")


def test_a_shard_whose_end_is_in_its_middle_is_noticed(corpus, tmp_path):
    """Zeros in place of a header look like the end of the file."""
    shard = tmp_path / "train-0000.tar"
    content = (corpus / "data" / shard.name).read_bytes()
    with tarfile.open(corpus / "data" / shard.name) as members:
        third = members.getmembers()[2].offset
    shard.write_bytes(content[:third] + bytes(1024) + content[third + 1024 :])
    with pytest.raises(ManifestError, match=r"train-0000\.tar: not a tar file that can be read \(there is more behind"):
        read_manifest(shard)


def test_shards_of_an_earlier_run_are_not_left_among_the_new_ones(corpus):
    with pytest.raises(ManifestError, match=r"train-0002\.tar: of an earlier run with more shards"):
        prepare("table", str(corpus / "train.jsonl"), corpus / "data", PrepareConfig(shards=2))


def test_webdataset_reads_our_shards_and_we_read_its(corpus, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    shards = [str(path) for path in expand(corpus / "data" / "train-{0000..0003}.tar")]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert {json.loads(sample["json"])["id"] for sample in samples} == {
        u.id for u in read_manifest(corpus / "train.jsonl")
    }
    assert all("wav" in sample or "flac" in sample for sample in samples)
    content = io.BytesIO()
    soundfile.write(content, np.full(8000, 0.1), 16000, format="FLAC")
    with webdataset.TarWriter(str(tmp_path / "theirs.tar")) as writer:
        writer.write({"__key__": "a/b", "flac": content.getvalue(), "txt": "one"})
        writer.write({"__key__": "a/c", "flac": content.getvalue(), "json": {"text": "two", "speaker": 7}})
    found = read_manifest(tmp_path / "theirs.tar", check_audio=True)
    assert [(u.id, u.text, u.speaker, u.duration) for u in found] == [("a/b", "one", "", 0.5), ("a/c", "two", "7", 0.5)]
    assert len(load_utterance(found[1], 16000).samples) == 8000


def test_what_a_shard_lacks_is_named(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as shard:
        for name, content in (("a.txt", b"one"), ("b.wav", b"RIFF"), ("b.json", b"{broken")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    with pytest.raises(ManifestError, match=r"x\.tar:1: 'audio_filepath' is missing.*and 1 more such line"):
        read_manifest(tmp_path / "x.tar")


@pytest.mark.parametrize("epoch", [0, 1])
def test_batches_are_shuffled_within_some_shards_at_a_time(epoch):
    random = np.random.default_rng(0)
    durations, shards = random.uniform(1, 15, 900), random.integers(0, 9, 900)
    plan = plan_epoch(durations, 60, 0, epoch, shards=shards, shuffled_shards=3)
    assert sorted(index for batch in plan for index in batch) == list(range(900))
    used = [sorted(set(shards[batch])) for batch in plan]
    groups = list(
        dict.fromkeys(tuple(sorted(set().union(*(u for u in used if set(u) & set(batch))))) for batch in used)
    )
    assert len(groups) == 3 and all(len(group) == 3 for group in groups), (
        "batches of three shards, then of three others"
    )
    assert list(plan) != list(plan_epoch(durations, 60, 1, epoch, shards=shards, shuffled_shards=3))


def test_processes_have_equal_shares_of_the_shards(corpus):
    path = corpus / "shared.toml"
    path.write_text(RECIPE.format(output="shared"))
    recipe = load_recipe(path)
    train_corpus = load_corpora(recipe)[0]
    sets = [TrainingSet(train_corpus, recipe, Group(rank, 2)) for rank in range(2)]
    used = []
    for batches in zip(*(each.batches(1, 0, workers=0, pin=False) for each in sets), strict=True):
        shares = [list(part.batch.utterances) for batch in batches for part in batch.parts if part.counts]
        assert sorted(index for share in shares for index in share) == sorted(batches[0].utterances)
        assert len(shares) == 1 or abs(len(shares[0]) - len(shares[1])) <= 1, "one utterance more at most"
        used += batches[0].utterances
    assert sorted(used) == list(range(22))


@pytest.mark.slow
def test_training_from_shards_resumes_with_the_same_weights(corpus, monkeypatch):
    import safetensors.numpy

    def run(output: str) -> Path:
        path = corpus / f"{output}.toml"
        path.write_text(RECIPE.format(output=output))
        return train(load_recipe(path))

    whole = safetensors.numpy.load_file(run("whole"))
    step, stops = Trainer._step, [7, 3]

    def stopped(self, batch, stop):
        at_stop = bool(stops) and self.progress.step == stops[-1]
        return step(self, batch, at_stop and bool(stops.pop()))

    monkeypatch.setattr(Trainer, "_step", stopped)
    for _ in range(2):
        with pytest.raises(Interrupted):
            run("parts")
    parts = safetensors.numpy.load_file(run("parts"))
    assert not stops and all(np.array_equal(whole[name], parts[name]) for name in whole)


def test_shards_of_other_programs_are_prepared_where_they_are(corpus, tmp_path):
    (tmp_path / "more").mkdir()
    for path in expand(corpus / "data" / "train-{0000..0003}.tar"):
        (tmp_path / "more" / path.name).write_bytes(path.read_bytes())
    with tarfile.open(tmp_path / "more" / "train-0004.tar", "w") as shard:
        shard.addfile(tarfile.TarInfo("empty.txt"))
    summary = prepare("shards", str(tmp_path / "more"), tmp_path / "data", PrepareConfig())
    assert summary.rejects_by_kind == {"no sound beside the transcript": 1} and list(summary.subsets) == ["train"]
    found = read_manifest(tmp_path / "data" / "train.jsonl", check_audio=True)
    assert without_place(found) == without_place(read_manifest(corpus / "train.jsonl"))
    assert sounds(found).keys() == {utterance.id for utterance in found}


def test_lhotse_shar(corpus, tmp_path):
    lhotse = pytest.importorskip("lhotse")
    cuts = []
    for utterance in read_manifest(corpus / "train.jsonl")[:5]:
        recording = lhotse.Recording.from_file(utterance.audio_filepath, recording_id=utterance.id)
        cut = recording.to_cut()
        length = cut.duration if len(cuts) else 0.2
        said = lhotse.SupervisionSegment(
            f"{utterance.id}-a", cut.recording_id, 0, length, text=utterance.text, speaker="ann"
        )
        cuts.append(lhotse.fastcopy(cut, id=utterance.id, supervisions=[said]))
    (tmp_path / "shar").mkdir()
    lhotse.CutSet.from_cuts(cuts).to_shar(tmp_path / "shar", fields={"recording": "flac"}, shard_size=3)
    summary = prepare("shards", str(tmp_path / "shar"), tmp_path / "data", PrepareConfig())
    assert not summary.rejects
    found, before = read_manifest(tmp_path / "data" / "all.jsonl"), read_manifest(corpus / "train.jsonl")[:5]
    assert [(u.id, u.text, u.speaker) for u in found] == [(f"{u.id}-a", u.text, "ann") for u in before]
    assert [u.duration for u in found] == [0.2, *(u.duration for u in before[1:])]
    for ours, theirs in zip(found[1:], before[1:], strict=True):
        assert np.allclose(load_utterance(ours, 16000).samples, load_utterance(theirs, 16000).samples, atol=1e-4)
