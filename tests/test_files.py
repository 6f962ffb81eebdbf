"""asr.utils.files: a file is written whole or not at all."""

import errno
import fcntl
import os

import pytest

from asr.utils.files import make_folder, replacing, write_atomically, write_together


def contents(folder):
    """All below a folder: relative name -> bytes of a file, None for a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def test_bytes_and_text_and_folders_on_the_way(tmp_path):
    assert write_atomically(tmp_path / "a/b/c.bin", b"\x00\xff") == tmp_path / "a/b/c.bin"
    assert write_atomically(str(tmp_path / "d.txt"), "Größe\n") == tmp_path / "d.txt"
    assert contents(tmp_path) == {
        "a": None,
        "a/b": None,
        "a/b/c.bin": b"\x00\xff",
        "d.txt": "Größe\n".encode(),
    }


def test_replaces_the_old_file(tmp_path):
    write_atomically(tmp_path / "a.txt", "a longer text")
    write_atomically(tmp_path / "a.txt", "new")
    assert contents(tmp_path) == {"a.txt": b"new"}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a.txt", "x")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_the_longest_name(tmp_path):
    name = "x" * 251 + ".txt"
    write_atomically(tmp_path / name, "x")
    assert contents(tmp_path) == {name: b"x"}


@pytest.mark.parametrize("old", [None, "what was there"])
def test_full_disk_leaves_the_old_file_or_none(tmp_path, full_disk, old):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)
    with full_disk(100), pytest.raises(OSError) as error:
        write_atomically(path, "x" * 101)
    assert error.value.errno == errno.EFBIG
    assert error.value.filename == str(path)
    assert contents(tmp_path) == ({"a.txt": old.encode()} if old else {})


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), MemoryError(), OSError(errno.EIO, "Input/output error")])
def test_stopped_in_the_middle_leaves_the_old_file(tmp_path, monkeypatch, stop):
    path = write_atomically(tmp_path / "a.txt", "old")

    def fail(descriptor):
        raise stop

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(stop)):
        write_atomically(path, "new")
    assert contents(tmp_path) == {"a.txt": b"old"}


@pytest.mark.parametrize("name", ["plain/a.txt", "plain/deep/a.txt"])
def test_file_in_place_of_the_folder(tmp_path, name):
    (tmp_path / "plain").write_text("mine")
    with pytest.raises(NotADirectoryError) as error:
        write_atomically(tmp_path / name, "x")
    assert error.value.filename == str(tmp_path / name)
    assert contents(tmp_path) == {"plain": b"mine"}


def test_folder_in_place_of_the_file(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(IsADirectoryError) as error:
        write_atomically(tmp_path / "a.txt", "x")
    assert error.value.filename == str(tmp_path / "a.txt")
    assert contents(tmp_path) == {"a.txt": None}


def test_make_folder(tmp_path):
    assert make_folder(tmp_path / "a/b") == tmp_path / "a/b"
    make_folder(tmp_path / "a/b")
    assert contents(tmp_path) == {"a": None, "a/b": None}
    (tmp_path / "plain").touch()
    with pytest.raises(NotADirectoryError) as error:
        make_folder(tmp_path / "plain")
    assert error.value.filename == str(tmp_path / "plain")


def test_several_files_or_none(tmp_path, full_disk):
    paths = [tmp_path / name for name in ("a.txt", "b.txt", "deep/c.txt")]
    write_together(dict.fromkeys(paths, "old"))
    with full_disk(100), pytest.raises(OSError) as error:
        write_together({paths[0]: "new", paths[1]: "x" * 101, paths[2]: "new"})
    assert error.value.filename == str(paths[1])
    assert contents(tmp_path) == {"a.txt": b"old", "b.txt": b"old", "deep": None, "deep/c.txt": b"old"}
    write_together(dict.fromkeys(paths, b"new"))
    assert {path.read_text() for path in paths} == {"new"}


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path):
    for name in (".asr-killed.part", ".asr-writes.part", ".asr-written.jsonl", "mine.part"):
        (tmp_path / name).touch()
    with (tmp_path / ".asr-writes.part").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # as a process does that lives
        write_atomically(tmp_path / "a.txt", "x")
    assert set(contents(tmp_path)) == {".asr-writes.part", ".asr-written.jsonl", "mine.part", "a.txt"}


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as error, replacing(tmp_path / "a.txt"):
        (tmp_path / "gone.txt").read_text()
    assert error.value.filename == str(tmp_path / "gone.txt")
    assert contents(tmp_path) == {}
