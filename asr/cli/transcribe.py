"""One run of `asr transcribe`: which inputs are left to do, where their transcripts go, and a summary."""

import contextlib
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from asr.errors import AsrError, ConfigError, one_line
from asr.output.formats import Outputs
from asr.punctuation.labeller import punctuation_file
from asr.recognition.batch import Failure, confident, expand_inputs, transcribe_files
from asr.recognition.config import TranscribeConfig
from asr.recognition.recognizer import Recognizer
from asr.transcript import Transcript
from asr.utils.config_io import to_values
from asr.utils.distributed import own_group
from asr.utils.files import make_folder
from asr.utils.messages import tell, time_text
from asr.utils.prefetch import prefetch_map
from asr.utils.storage import MODEL_NAME, in_folder, shown

WRITERS = 8  # threads, which mostly wait for the disk
MOST_WAITING = 64  # transcripts that may wait to be written


@dataclass
class Tally:
    """Counts and times of a run."""

    inputs: int
    skipped: int = 0  # done by an earlier run
    done: int = 0
    failures: list[Failure] = field(default_factory=list)
    audio: float = 0.0  # seconds recognised
    seconds: float = 0.0  # from reading to writing

    def to_text(self) -> str:
        """One line of summary."""
        parts = [f"{self.done} done", *([f"{self.skipped} skipped"] if self.skipped else [])]
        counts = ", ".join([*parts, f"{len(self.failures)} failed"])
        if not self.audio:
            return counts
        rtf = self.seconds / self.audio
        return f"{counts}: {time_text(self.audio)} of audio in {time_text(self.seconds)}, RTF {rtf:.3f}"


def transcribe(inputs: Sequence[str], model: Path, output: Path | None, config: TranscribeConfig) -> Tally:
    """Transcribe sound files, folders and globs into `output`, or to standard output.

    Each result is written as soon as it is known, in the order of the inputs. Failures are printed on stderr at the
    end, even if the run ends with an error, and a summary after several inputs. Raises an `AsrError` for options that
    exclude each other or a model that cannot be used, `OSError` naming the file for a full disk.
    """
    if not inputs:
        raise AsrError("no INPUT: name sound files, folders, globs, or - for standard input")
    if own_group().size > 1:
        raise ConfigError("asr transcribe runs in one process; --engine ray shares the work among several")
    if config.resume and output is None:
        raise ConfigError("--resume needs an output folder: add -o DIR")
    names, failures = expand_inputs(inputs)
    files = [in_folder(model, MODEL_NAME), *config.search.files]
    if config.writing.punctuation and (punctuation := punctuation_file(model)):
        files.append(punctuation)
    settings = to_values(config.search) | to_values(config.writing)
    settings |= {"min_confidence": config.min_confidence} if config.min_confidence else {}
    outputs = Outputs(names, config.format, output, shown(model), settings, files, config.search.segment_slope)
    missing = [name for name in names if not (config.resume and outputs.are_written(name))]
    tally = Tally(len(names) + len(failures), len(names) - len(missing), failures=failures)
    try:
        if missing:
            if config.where.engine == "ray":
                _run_on_ray(missing, outputs, model, config, tally)
            else:
                run = config.run
                recognizer = Recognizer.load(
                    model, run.device, config.search, run.precision, run.voice_activity, config.writing
                )
                _run(missing, outputs, recognizer, config, tally)
    finally:
        for failure in failures:
            tell(failure.reason)
    if tally.inputs > 1:
        tell(tally.to_text())
    return tally


def _run(
    names: Sequence[str],
    outputs: Outputs,
    recognizer: Recognizer,
    config: TranscribeConfig,
    tally: Tally,
) -> None:
    if outputs.folder:
        make_folder(outputs.folder)
    labelled = outputs.formats == ("txt",) and len(names) > 1

    def deliver(item: tuple[str, Transcript | Failure]) -> tuple[str, Transcript | Failure]:
        name, result = item
        if outputs.folder and isinstance(result, Transcript):
            outputs.write(name, result)
        return item

    started = time.perf_counter()
    results = confident(transcribe_files(recognizer, names, config.run.batch_seconds), config)
    with ThreadPoolExecutor(WRITERS) as pool:
        for name, result in prefetch_map(deliver, results, pool, MOST_WAITING) if outputs.folder else results:
            if isinstance(result, Failure):
                tally.failures.append(result)
                continue
            for note in result.notes:
                tell(f"{name}: {note}")
            if outputs.folder:
                _print_paths(outputs, name, sys.stdout)
            else:
                label = f"{one_line(name)}: " if labelled else ""
                print(label + outputs.text(name, result), end="", flush=True)
            tally.done += 1
            tally.audio += result.duration
            tally.seconds = time.perf_counter() - started


def _run_on_ray(names: Sequence[str], outputs: Outputs, model: Path, config: TranscribeConfig, tally: Tally) -> None:
    from asr.recognition.ray_engine import transcribe_on_ray

    started, out = time.perf_counter(), sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # where Ray's own reports of dead workers belong
        for result in transcribe_on_ray(names, outputs, model, config):
            if isinstance(result, Failure):
                tally.failures.append(result)
                continue
            for note in result.notes:
                tell(f"{result.name}: {note}")
            _print_paths(outputs, result.name, out)
            tally.done += 1
            tally.audio += result.seconds
            tally.seconds = time.perf_counter() - started


def _print_paths(outputs: Outputs, name: str, out: TextIO) -> None:
    print("".join(f"{one_line(shown(path))}\n" for path in outputs.paths(name)), end="", file=out, flush=True)
