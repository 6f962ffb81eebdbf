"""Networks in the cache: the graph is built once per content of a model file, and damage is never passed on."""

import os
import shutil

import numpy as np
import pytest

from asr.errors import ModelFileError
from asr.model import graph_cache, model_file
from asr.model.model_file import load_model, read_arrays, write_arrays


@pytest.fixture
def path(model_path, tmp_path, monkeypatch):
    """A model file, and a cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return shutil.copy(model_path, tmp_path / "model.safetensors")


def cached(tmp_path):
    return sorted((tmp_path / "cache/asr/graph").glob("*"))


def test_a_graph_is_built_once_and_the_weights_are_not_read_again(path, tmp_path, monkeypatch):
    graphs = {precision: load_model(path).graph(precision) for precision in ("auto", "int8", "float32")}
    assert graphs["auto"] == graphs["int8"] != graphs["float32"]
    assert len(cached(tmp_path)) == 2
    monkeypatch.setattr(model_file, "_build", None)
    moved = shutil.move(path, tmp_path / "elsewhere.safetensors")
    assert {precision: load_model(moved).graph(precision) for precision in graphs} == graphs


def test_other_weights_have_another_graph(path):
    before = load_model(path).graph("float32")
    arrays, metadata = read_arrays(path, "model file")
    write_arrays(path, arrays | {"head.bias": arrays["head.bias"] + 1}, metadata)
    assert load_model(path).graph("float32") != before


def test_a_file_that_is_replaced_after_loading_is_not_mistaken_for_the_loaded_one(path, tmp_path):
    expected, contents = load_model(path).graph("float32"), load_model(path)
    arrays, metadata = read_arrays(path, "model file")
    write_arrays(path, arrays | {"head.bias": arrays["head.bias"] + 1}, metadata)
    assert contents.graph("float32") == expected
    assert load_model(path).graph("float32") != expected


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:-9] + b"x" + data[-8:], lambda data: b""])
def test_a_damaged_graph_is_built_again(path, tmp_path, spoil):
    expected = load_model(path).graph("int8")
    [graph] = cached(tmp_path)
    data = graph.read_bytes()
    graph.write_bytes(spoil(data))
    assert load_model(path).graph("int8") == expected
    assert graph.read_bytes() == data


def test_old_graphs_are_removed(path, tmp_path):
    arrays, metadata = read_arrays(path, "model file")
    for number in range(graph_cache.KEPT + 2):
        write_arrays(path, arrays | {"head.bias": arrays["head.bias"] + number}, metadata)
        load_model(path).graph("float32")
        for graph in cached(tmp_path):
            os.utime(graph, ns=(0, graph.stat().st_mtime_ns - 10**9))  # as if a second had passed
    assert len(cached(tmp_path)) == graph_cache.KEPT


def test_nowhere_to_write_to(path, monkeypatch):
    expected = load_model(path).graph("int8")
    monkeypatch.setattr(graph_cache, "user_cache", lambda: None)
    assert load_model(path).graph("int8") == expected


def test_weights_that_are_not_numbers_are_refused(path):
    arrays, metadata = read_arrays(path, "model file")
    write_arrays(path, arrays | {"head.bias": np.full_like(arrays["head.bias"], np.nan)}, metadata)
    with pytest.raises(ModelFileError, match=r"model.safetensors: damaged.*NaN or infinite"):
        load_model(path).graph("int8")
