"""asr.data.utterances: what goes into the columns comes out of them; manifests compressed and in Parquet."""

import gzip
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.data.manifest import Utterance, read_manifest, read_manifests
from asr.data.utterances import ByteRange, Strings, Utterances, repeated
from asr.errors import ManifestError
from asr.utils.files import replacing, write_atomically

WORDS = st.text(max_size=5)
UTTERANCES = st.builds(
    Utterance,
    id=WORDS,
    audio_filepath=st.sampled_from([Path("deep/b c.tar/a/d.ogg"), Path("/x.tar/d.ogg")]),
    duration=st.floats(0.01, 1e7),
    text=WORDS,
    speaker=st.sampled_from(["", "ann", "ben"]),
    offset=st.none() | st.floats(0, 1e7),
    extra=st.dictionaries(WORDS, st.integers(0, 9) | WORDS, max_size=2),
    byte_range=st.none() | st.builds(ByteRange, st.integers(1, 10**12), st.integers(1, 10**9)),
)


@given(st.lists(UTTERANCES, max_size=8))
def test_columns_give_back_the_utterances(utterances):
    columns = Utterances.of(utterances)
    assert list(columns) == utterances == columns[:] and list(pickle.loads(pickle.dumps(columns))) == utterances
    assert [columns[index] for index in range(-len(utterances), 0)] == utterances
    assert columns.durations.tolist() == [utterance.duration for utterance in utterances]
    assert set(columns.speakers) == {"", *(utterance.speaker for utterance in utterances)}


@given(st.lists(st.text("ab", max_size=3)), st.integers(0, 4))
def test_repeated_strings_are_found(values, first):
    strings = Strings()
    for start in range(0, len(values), 3):
        strings.extend(values[start : start + 3])
    first = min(first, len(values))
    expected = {n: values.index(v, first) for n, v in enumerate(values) if n >= first and v in values[first:n]}
    assert repeated(strings, first) == expected


LINES = [{"id": f"u{n}", "audio_filepath": "a.wav", "duration": 1.5, "text": "é one", "speaker": n} for n in range(3)]
LINES[1] |= {"offset": 2.5, "accent": "en"}
JSON = "".join(json.dumps(line) + "\n" for line in LINES).encode()


def zstandard(data: bytes) -> bytes:
    return pytest.importorskip("zstandard").ZstdCompressor().compress(data)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard])
def test_compressed_manifests(tmp_path, pack):
    (tmp_path / "plain.jsonl").write_bytes(JSON)
    (tmp_path / "packed").write_bytes(pack(JSON))
    assert list(read_manifest(tmp_path / "packed")) == list(read_manifest(tmp_path / "plain.jsonl"))
    (tmp_path / "packed").write_bytes(pack(JSON)[:-1])
    with pytest.raises(ManifestError, match=r"packed: cut short or damaged"):
        read_manifest(tmp_path / "packed")


PLAIN = {"id": ["a", "b"], "audio_filepath": ["a.wav", "b.wav"], "duration": [1, 2], "text": ["é", ""]}


@pytest.mark.parametrize(
    "columns", [{}, {"speaker": ["ann", None], "offset": [None, 0.5]}, {"id": [None, "b"]}, {"accent": [None, "en"]}]
)
@pytest.mark.parametrize("folder", ["memory://parquet", None])
def test_parquet_tables_hold_what_lines_hold(tmp_path, columns, folder):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table, folder = pyarrow.table(PLAIN | columns), folder or tmp_path
    lines = [{key: value for key, value in row.items() if value is not None} for row in table.to_pylist()]
    write_atomically(f"{folder}/m.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    with replacing(f"{folder}/m.parquet") as stream:
        parquet.write_table(table, stream)
    assert list(read_manifest(f"{folder}/m.parquet")) == list(read_manifest(f"{folder}/m.jsonl"))


def test_parquet_manifests(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "plain.jsonl").write_bytes(JSON)
    parquet.write_table(
        pyarrow.Table.from_pylist([{"offset": None, "accent": None} | line for line in LINES]), tmp_path / "m.parquet"
    )
    assert list(read_manifest(tmp_path / "m.parquet")) == list(read_manifest(tmp_path / "plain.jsonl"))
    parquet.write_table(pyarrow.Table.from_pylist([LINES[0], LINES[1] | {"duration": -1.0}]), tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match=r"m\.parquet:2: 'duration' is -1\.0"):
        read_manifest(tmp_path / "m.parquet")
    write_atomically("memory://parquet/wrong.parquet", (tmp_path / "m.parquet").read_bytes())
    with pytest.raises(ManifestError, match=r"^memory://parquet/wrong\.parquet:2: 'duration' is -1\.0"):
        read_manifest("memory://parquet/wrong.parquet")
    (tmp_path / "m.parquet").write_bytes(b"no table")
    with pytest.raises(ManifestError, match=r"m\.parquet: not a Parquet file"):
        read_manifest(tmp_path / "m.parquet")


def test_paths_of_several_manifests_are_relative_to_each(tmp_path):
    paths = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.wav").touch()
        paths.append(tmp_path / name / "m.jsonl")
        paths[-1].write_text(json.dumps(LINES[0] | {"id": name}))
    found = read_manifests(paths, check_audio=True)
    assert [u.audio_filepath for u in found] == [tmp_path / "one" / "a.wav", tmp_path / "two" / "a.wav"]
