"""Running command lines in tests and checking their output; fixtures for every test."""

import fcntl
import json
import subprocess
from pathlib import Path

import pytest

from asr.cli.main import main

COMPLETE, PARTLY, ERROR = 0, 1, 2


@pytest.fixture(scope="session")
def compiled_decoder(tmp_path_factory):
    """The decoder in the cache of compiled code: from here on no command reports that it compiles."""
    from asr.decoding.warm_up import compiling_search

    with open(tmp_path_factory.getbasetemp().parent / "compiling", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of several test processes compiles, and the others load the result
        with compiling_search():
            pass


@pytest.fixture
def asr(capsys, compiled_decoder):
    """Run a command line in this process."""

    def run(*arguments) -> subprocess.CompletedProcess:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return run


def assert_told(result, status, *parts):
    """One line on stderr with all of `parts`, no traceback, and the exit status."""
    assert result.stderr.startswith("asr: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert str(part) in result.stderr
    assert result.returncode == status


def summarised(result, counts):
    """The same result without the last line on stderr, which sums up a run over several inputs and has these counts."""
    lines = result.stderr.splitlines(keepends=True)
    assert lines[-1].startswith(f"asr: {counts}")
    return subprocess.CompletedProcess(result.args, result.returncode, result.stdout, "".join(lines[:-1]))


def files(folder):
    """The files below a folder but for the ledger of what was written."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(name for name in names if name != ".asr-written.jsonl")


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest of (id, recording) pairs, all with the text 'a b'."""

    def write(*pairs, name="test.jsonl") -> Path:
        lines = [{"id": id, "audio_filepath": str(audio), "duration": 1.0, "text": "a b"} for id, audio in pairs]
        path = tmp_path / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write
