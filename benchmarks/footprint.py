"""What `asr transcribe` takes: disk, a warm start's time and memory, and time per second of audio on a busy machine.

    python benchmarks/footprint.py RECORDING...

prints three Markdown tables, with the English model that comes with the program unless `--model` names another.
"""

import importlib.metadata
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import soundfile
import tyro
from commands import COMMAND, measure
from packaging.requirements import Requirement
from report import processor, table
from terminal import log, start

from asr.audio.io import load_audio
from asr.audio.voice_activity import find_speech
from asr.pretrained import ENGLISH
from asr.recognition.batch import transcribe_files
from asr.recognition.config import RunConfig
from asr.recognition.recognizer import Recognizer

WARM_SECONDS = 10.0  # of the recording that a warm start is measured with


@dataclass(frozen=True)
class Options:
    """Disk, start-up and busy machines."""

    #: Sound files.
    recordings: Annotated[tuple[Path, ...], tyro.conf.Positional]
    #: Model file; the decoder is that of the decoder.toml beside it.
    model: Path = ENGLISH
    #: Measurements of each figure, of which the median counts.
    rounds: int = 3
    #: Processes that compute beside the measured one; 0 on a machine that is busy anyway.
    busy: int = 2


def installed_bytes(distribution: str) -> dict[str, int]:
    """Bytes on disk of a distribution and of all that it requires without extras, by name."""
    sizes, wanted = {}, [distribution]
    while wanted:
        found = importlib.metadata.distribution(wanted.pop())
        name = found.metadata["Name"].lower().replace("_", "-")
        if name not in sizes:
            paths = [Path(found.locate_file(file)) for file in found.files or ()]
            sizes[name] = sum(path.stat().st_size for path in paths if path.is_file())
            requirements = map(Requirement, found.requires or ())
            wanted += [each.name for each in requirements if not each.marker or each.marker.evaluate({"extra": ""})]
    return sizes


def first_seconds(recordings: Iterable[Path], seconds: float, rate: int) -> np.ndarray:
    """The first seconds of the recordings one after another, repeated if they are shorter: `(samples,)`."""
    whole = np.concatenate([load_audio(path, rate).samples for path in recordings])
    return np.resize(whole, round(seconds * rate))


def footprint(options: Options, rate: int) -> str:
    """Size of the installed packages; processor time and memory of a warm start."""
    sizes = installed_bytes("small-asr")
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    shown = ", ".join(f"{name} {sizes[name] / 1e6:.0f}" for name in largest)
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder, "warm.flac")
        soundfile.write(sound, first_seconds(options.recordings, WARM_SECONDS, rate), rate)
        command = ["transcribe", sound, "-m", options.model, "--device", "cpu"]
        measure(COMMAND, command)  # compiles
        cost = measure(COMMAND, command, times=options.rounds)
    rows = [
        (f"installed packages, MB ({shown})", f"{sum(sizes.values()) / 1e6:.0f}"),
        (f"`asr transcribe` of {WARM_SECONDS:g} s, second run, processor seconds", f"{cost.processor:.2f}"),
        ("the same, wall-clock seconds", f"{cost.seconds:.2f}"),
        ("the same, peak memory, GB", f"{cost.peak_bytes / 1e9:.2f}"),
    ]
    return table(("figure", "measured"), rows)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """A context beside which so many processes compute."""
    code = "while True: pass"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def per_second(recognizer: Recognizer, recordings: tuple[Path, ...], together: bool) -> float:
    """Processor seconds per second of audio, all recordings in one call or one by one."""
    names, started = list(map(str, recordings)), time.process_time()
    if together:
        results = [result for _, result in transcribe_files(recognizer, names, RunConfig().batch_seconds)]
    else:
        results = [recognizer.transcribe(name) for name in names]
    return (time.process_time() - started) / sum(result.duration for result in results)


def against_load(options: Options, recognizer: Recognizer) -> str:
    """Processor time per second of audio alone and beside busy processes, in turn."""
    kinds = {"one by one": False, "together": True}
    per_second(recognizer, options.recordings[:1], False)  # the first one loads compiled code
    found: dict[tuple[str, int], list[float]] = {}
    for number in range(options.rounds):
        for busy in sorted({0, options.busy}):
            log(f"load: round {number + 1} of {options.rounds}, {busy} busy processes")
            with busy_processes(busy):
                for kind, together in kinds.items():
                    found.setdefault((kind, busy), []).append(per_second(recognizer, options.recordings, together))
    rows = []
    for kind in kinds:
        alone, beside = (median(found[kind, busy]) for busy in (0, options.busy))
        rows.append((kind, f"{alone:.4f}", f"{beside:.4f}", f"{beside / alone:.2f}"))
    return table(("recordings", "processor s per s of audio", f"beside {options.busy} busy processes", "ratio"), rows)


def stages(recognizer: Recognizer, recordings: tuple[Path, ...]) -> str:
    """Processor time per second of audio of each stage of recognition, one recording after the other."""
    used, seconds = Counter[str](), 0.0

    def timed(stage: str, run: Callable, *arguments: object) -> Any:
        started = time.process_time()
        result = run(*arguments)
        used[stage] += time.process_time() - started
        return result

    for path in recordings:
        samples = timed("reading and resampling", load_audio, path, recognizer.sample_rate).samples
        features = timed("log-mel features", recognizer.log_mel, samples)
        (emission,) = timed("network", recognizer.log_probabilities, [features])
        times = np.arange(len(emission)) * recognizer.file.frame_seconds
        timed("voice activity", find_speech, samples, recognizer.sample_rate, times)
        timed("search", recognizer.decoder.decode_batch, recognizer.of_speech([features], [samples]))
        seconds += len(samples) / recognizer.sample_rate
    whole = sum(used.values())
    rows = [(stage, f"{each / seconds:.4f}", f"{each / whole:.0%}") for stage, each in used.items()]
    return table(("stage", "processor s per s of audio", "share"), rows)


def main(options: Options) -> None:
    """Measure and print."""
    recognizer = Recognizer.load(options.model, "cpu")
    print(f"{processor()}\n\n{footprint(options, recognizer.sample_rate)}\n", flush=True)
    print(against_load(options, recognizer), flush=True)
    print(f"\n{stages(recognizer, options.recordings)}")


if __name__ == "__main__":
    start(main, Options, __doc__)
