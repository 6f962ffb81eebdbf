"""Compiled code is cached until any source that went into it has changed, where there is a place for it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from asr.utils import cache_folder, numba_cache


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with one compiled file, whose cache is asked for anew each time."""
    (tmp_path / "lm").mkdir()
    for name in ("ctc.py", "lm/ngram.py"):
        (tmp_path / name).write_text("import numba_cache\nfrom asr.text.tokenizer import BLANK\n")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "tokenizer.py").write_text("BLANK = 0\n")
    monkeypatch.setattr(numba_cache, "PACKAGE", tmp_path)
    monkeypatch.setattr(numba_cache.numba.config, "CACHE_DIR", "")
    return tmp_path


def folder():
    numba_cache.cache_folder.cache_clear()
    try:
        return numba_cache.cache_folder()
    finally:
        numba_cache.cache_folder.cache_clear()


@pytest.fixture
def unwritable(monkeypatch):
    """`unwritable(folder, ...)`: as if nothing could be written there; permissions do not stop root."""
    refused = []

    def is_writable(folder):
        return not any(Path(folder).is_relative_to(each) for each in refused) and os.access(folder.parent, os.W_OK)

    for module in (numba_cache, cache_folder):
        monkeypatch.setattr(module, "is_writable", is_writable)
    cache_folder._first_writable.cache_clear()
    yield lambda *folders: refused.extend(folders)
    cache_folder._first_writable.cache_clear()


def test_a_package_that_cannot_be_written_to(package, tmp_path, monkeypatch, unwritable, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    unwritable(package / "__pycache__")
    assert folder().parent == tmp_path / "cache" / "asr"
    assert capsys.readouterr().err == ""


def test_without_a_cache_folder_a_temporary_one_is_reported(package, tmp_path, monkeypatch, unwritable, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    unwritable(package / "__pycache__", tmp_path / "cache", tmp_path / "home")
    temporary = tmp_path / f"asr-{os.getuid()}"
    assert folder().parent == folder().parent == temporary
    assert temporary.stat().st_mode & 0o077 == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(temporary) in error and "XDG_CACHE_HOME" in error


def test_a_temporary_folder_that_others_can_write_to_is_not_used(package, tmp_path, monkeypatch, unwritable, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"asr-{os.getuid()}").mkdir(mode=0o700)
    (tmp_path / f"asr-{os.getuid()}").chmod(0o777)
    monkeypatch.setenv("HOME", "/")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    unwritable(package / "__pycache__", Path("/.cache"))
    assert folder() is None
    assert numba_cache.compiled(lambda x: x + 1)(1) == 2, "compiled all the same"
    assert "XDG_CACHE_HOME" in capsys.readouterr().err


@pytest.mark.slow
def test_a_user_without_a_home_gets_no_folder_named_tilde(tmp_path):
    code = (
        "from asr.utils import cache_folder; cache_folder._temporary = lambda: None; print(cache_folder.user_cache())"
    )
    environment = {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, [".", *filter(None, sys.path)])), "HOME": "~"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout == "None\n" and list(tmp_path.iterdir()) == []


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
    monkeypatch.setattr(numba_cache.numba.config, "CACHE_DIR", str(tmp_path / "mine"))
    assert folder().parent == tmp_path / "mine"


def test_a_changed_constant_of_another_file_has_a_cache_of_its_own(package):
    before = folder()
    (package / "text" / "tokenizer.py").write_text("BLANK = 1\n")
    assert folder() != before
