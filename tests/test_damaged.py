"""Thousands of damaged files: each is read or refused in one line that names it, in bounded time and memory.

They are read by a process of their own (`damage_worker.py`), so that a library that crashes or hangs is a failed test
and no more. A failure names the file: `damaged_sound(123)` of `damaged_sounds.py`, and so on, makes it again.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from command_line import assert_told
from damaged_files import COUNTS, damaged_decoder, damaged_lm, damaged_manifest, damaged_model
from damaged_sounds import damaged_sound, good_sound

SOUNDS = 2050
MOST_SECONDS = 10.0
MOST_BYTES = 1 << 30  # beyond what the program itself takes
LONGEST_SAID = 2500  # characters

REFUSALS = {
    "sound": {"AudioError"},
    "manifest": {"ManifestError"},
    "model": {"ModelFileError"},
    "decoder": {"ConfigError", "DecoderError", "LexiconError", "LanguageModelError"},
    "lm": {"LanguageModelError"},
}


class Worker:
    """The process that reads; started again when it has died or was stopped because it hung."""

    def __init__(self, model: Path, folder: Path):
        self.model, self.folder = model, folder
        self.printed = folder / "printed"
        self.start()

    def start(self) -> None:
        script = Path(__file__).with_name("damage_worker.py")
        with self.printed.open("ab") as printed:
            self.process = subprocess.Popen(
                [sys.executable, script, self.model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=printed
            )
        self.base = json.loads(self.process.stdout.readline())["peak"]

    def read(self, kind: str, path: Path) -> dict:
        self.process.stdin.write(json.dumps([kind, str(path)]).encode() + b"\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], MOST_SECONDS)
        line = self.process.stdout.readline() if ready else b""
        if line:
            return json.loads(line)
        self.stop()
        end = f"died with status {self.process.returncode}" if ready else f"hung for {MOST_SECONDS:g} s"
        self.start()
        return {"end": end, "said": "", "peak": self.base}

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def worker(model_path, tmp_path_factory):
    worker = Worker(model_path, tmp_path_factory.mktemp("damaged"))
    yield worker
    worker.stop()


def faults(worker: Worker, kind: str, files: Iterable[tuple[str, bytes]]) -> tuple[list[str], dict[str, int]]:
    """What is wrong with how the files were taken, and how often each way of ending was seen."""
    wrong, ends = [], {}
    for number, (name, data) in enumerate(files):
        path = worker.folder / (name if kind == "decoder" else f"{number}-{name}")
        path.write_bytes(data)
        answer = worker.read(kind, path)
        end, said = answer["end"], answer["said"]
        ends[end] = ends.get(end, 0) + 1
        if end == "read":
            fine = True
        else:
            named = str(path if kind != "decoder" else path.parent) in said
            fine = end in REFUSALS[kind] and named and "\n" not in said and len(said) < LONGEST_SAID
        if not fine or answer["peak"] > worker.base + MOST_BYTES:
            wrong.append(f"{kind} {number} ({name}): {end}: {said[:200]}, peak {answer['peak'] >> 20} MB")
        path.unlink()
    if b"Traceback" in worker.printed.read_bytes():
        wrong.append(f"{kind}: a traceback was printed: {worker.printed.read_text(errors='replace')[-1000:]}")
    return wrong, ends


@pytest.mark.slow
def test_damaged_sounds(worker):
    wrong, ends = faults(worker, "sound", map(damaged_sound, range(SOUNDS)))
    assert not wrong
    assert min(ends["read"], ends["AudioError"]) > SOUNDS // 5, "damage that nothing notices, or all is one kind"


@pytest.mark.slow
@pytest.mark.parametrize("kind", COUNTS)
def test_damaged_files(worker, kind, model_path):
    (worker.folder / "good.wav").write_bytes(good_sound(1))
    good = model_path.read_bytes()
    make = {
        "manifest": damaged_manifest,
        "model": lambda number: damaged_model(number, good),
        "decoder": damaged_decoder,
        "lm": damaged_lm,
    }[kind]
    wrong, ends = faults(worker, kind, map(make, range(COUNTS[kind])))
    assert not wrong
    assert len(ends) > 1, ends


@pytest.mark.slow
def test_the_watchdog_ends_a_hang_and_continues(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.MOST_SECONDS", 0.5)
    os.mkfifo(tmp_path / "pipe.jsonl")  # which nobody writes to
    assert worker.read("manifest", tmp_path / "pipe.jsonl")["end"] == "hung for 0.5 s"
    monkeypatch.undo()
    assert worker.read("manifest", tmp_path / "gone.jsonl")["end"] == "ManifestError"


@pytest.mark.parametrize("command", ["transcribe", "evaluate", "info"])
def test_the_command_reports_damage_in_one_line(asr, model_path, tmp_path, noise_file, command):
    path = tmp_path / ("bad.jsonl" if command == "evaluate" else "bad.wav")
    path.write_bytes(b"[" * 100_000)
    options = () if command == "info" else ("--model", model_path)
    assert_told(asr(command, path, *options), 1 if command == "transcribe" else 2, path)


@pytest.mark.parametrize("name", ["model.safetensors", "decoder.toml", "lm.arpa", "lm.asrlm"])
def test_the_command_names_the_damaged_file_beside_the_model(asr, model_path, tmp_path, noise_file, name):
    (tmp_path / "model.safetensors").write_bytes(model_path.read_bytes())
    (tmp_path / name).write_bytes(b"\x10\0\0\0\0\0\0\0{" + b"[" * 100_000)
    lm = ("--lm", tmp_path / name) if name.startswith("lm") else ()
    result = asr("transcribe", noise_file("good.wav"), "--model", tmp_path / "model.safetensors", *lm)
    assert_told(result, 2, tmp_path / name)
