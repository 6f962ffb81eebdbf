"""`asr serve` under load: requests per second, latency and processor time, beside the command line file by file.

    python benchmarks/serving.py MANIFEST [--url http://127.0.0.1:8001]

sends the manifest's recordings to the server, `--clients` at a time, and prints a Markdown table. Without `--url` it
starts `asr serve`; with it, it measures another server of OpenAI's transcription API, such as one of faster-whisper,
whose processor time it cannot see.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import tyro
from report import processor, table
from terminal import log

from asr.data.manifest import Utterance, read_manifest


@dataclass(frozen=True)
class Options:
    """Load of a transcription server."""

    #: Manifest of the recordings to send.
    manifest: Annotated[Path, tyro.conf.Positional]
    #: Address of a server that is running; without it `asr serve` is started.
    url: str | None = None
    #: Name of the model to ask for.
    model: str = "whisper-1"
    #: Requests at once.
    clients: tuple[int, ...] = (1, 4, 16)
    #: Use every n-th utterance only.
    every: int = 1
    #: Recordings for the command line, one process each; 0: none.
    command_line: int = 5


@dataclass(frozen=True)
class Server:
    """A server, and its process if it was started here."""

    url: str
    process: subprocess.Popen | None = None

    def seconds(self) -> float:
        """Processor time so far, NaN for a server that is not ours."""
        return processor_seconds(self.process.pid) if self.process else float("nan")


def main(options: Options) -> None:
    """Measure and print."""
    utterances = list(read_manifest(options.manifest))[:: options.every]
    rows = []
    with server(options.url) as running:
        send(running.url, options.model, utterances[0])  # the first request may compile or load something
        for clients in options.clients:
            log(f"{clients} clients")
            before, started = running.seconds(), time.perf_counter()
            with ThreadPoolExecutor(clients) as pool:
                latencies = list(pool.map(lambda each: send(running.url, options.model, each), utterances))
            passed = time.perf_counter() - started
            rows.append(
                row(f"`asr serve`, {clients} at a time", utterances, latencies, passed, running.seconds() - before)
            )
    if options.command_line:
        rows.append(command_line(utterances[: options.command_line]))
    print(f"{processor()}; {len(utterances)} recordings, {audio_seconds(utterances) / 3600:.2f} h\n")
    heads = ("", "requests/s", "latency (median)", "95% within", "audio hours per hour", "audio hours per core-hour")
    print(table(heads, rows))


@contextmanager
def server(url: str | None) -> Iterator[Server]:
    """The server at an address, or one that is started and stopped."""
    if url:
        yield Server(url.rstrip("/").removesuffix("/v1"))
        return
    command = [sys.executable, "-m", "asr", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        address = next(line.split()[-1] for line in process.stderr if "serving" in line)
        try:
            yield Server(address, process)
        finally:
            process.terminate()


def send(url: str, model: str, utterance: Utterance) -> float:
    """Seconds from request to transcript."""
    started = time.perf_counter()
    with utterance.audio_filepath.open("rb") as file:
        form = {"files": {"file": (utterance.audio_filepath.name, file)}, "data": {"model": model}}
        httpx.post(f"{url}/v1/audio/transcriptions", timeout=600, **form).raise_for_status()
    return time.perf_counter() - started


def command_line(utterances: list[Utterance]) -> tuple[str, ...]:
    """The same recordings by one `asr transcribe` each."""
    latencies, before, started = [], os.times(), time.perf_counter()
    for utterance in utterances:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "asr", "transcribe", str(utterance.audio_filepath)]
        subprocess.run(command, check=True, capture_output=True)
        latencies.append(time.perf_counter() - begun)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return row("`asr transcribe`, one by one", utterances, latencies, time.perf_counter() - started, used)


def row(name: str, utterances: list[Utterance], latencies: list[float], passed: float, used: float) -> tuple[str, ...]:
    """A line of the table; `used` is processor time in seconds."""
    median, most = (f"{value:.2f} s" for value in np.percentile(latencies, [50, 95]))
    seconds = audio_seconds(utterances)
    per_core = "" if np.isnan(used) else f"{seconds / used:.0f}"
    return name, f"{len(latencies) / passed:.1f}", median, most, f"{seconds / passed:.0f}", per_core


def audio_seconds(utterances: list[Utterance]) -> float:
    """Seconds of all recordings."""
    return sum(utterance.duration for utterance in utterances)


def processor_seconds(process: int) -> float:
    """Processor time of a process and its threads so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
