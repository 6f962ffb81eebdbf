"""Compiled code is kept until any source that went into it has changed."""

import pytest

from asr.utils import numba_cache as kernel


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with one compiled file, whose cache is asked for anew each time."""
    (tmp_path / "lm").mkdir()
    for name in ("ctc.py", "lm/ngram.py"):
        (tmp_path / name).write_text("import numba_cache\n")
    monkeypatch.setattr(kernel, "PACKAGE", tmp_path)
    monkeypatch.setattr(kernel.numba.config, "CACHE_DIR", "")
    return tmp_path


def folder():
    kernel.cache_folder.cache_clear()
    try:
        return kernel.cache_folder()
    finally:
        kernel.cache_folder.cache_clear()


def test_the_same_sources_find_what_was_compiled(package):
    assert folder() == folder()
    assert folder().parent == package / "__pycache__"


def test_another_source_has_a_cache_of_its_own_and_removes_the_old_one(package):
    before = folder()
    before.mkdir(parents=True)
    (before / "search.nbc").write_text("compiled")
    (package / "lm" / "ngram.py").write_text("import numba_cache\n# second\n")
    assert folder() != before
    assert not before.exists()


def test_a_folder_that_the_user_names_is_taken(package, tmp_path, monkeypatch):
    monkeypatch.setattr(kernel.numba.config, "CACHE_DIR", str(tmp_path / "mine"))
    assert folder().parent == tmp_path / "mine"
