"""One run of `asr transcribe`: what was asked for, what of it is still to do, where it goes, and how it went."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from asr.errors import AsrError, ConfigError, one_line
from asr.output.formats import Outputs
from asr.recognition.batch import Failure, expand_inputs, transcribe_files
from asr.recognition.config import TranscribeConfig
from asr.recognition.recognizer import Recognizer
from asr.transcript import Transcript
from asr.utils.config_io import to_values
from asr.utils.distributed import Group, is_leading, joined
from asr.utils.files import make_folder
from asr.utils.messages import tell, time_text
from asr.utils.prefetch import prefetch_map

WRITERS = 8  # threads: each waits for the disk, which takes many files in the time of one
MOST_WAITING = 64  # inputs whose files may wait to be written


@dataclass
class Tally:
    """How a run went."""

    inputs: int
    skipped: int = 0  # which an earlier run had done
    done: int = 0
    failures: list[Failure] = field(default_factory=list)
    audio: float = 0.0  # seconds, of what was done
    seconds: float = 0.0  # that it took, from reading to writing

    def to_text(self) -> str:
        """The run on one line."""
        parts = [f"{self.done} done", *([f"{self.skipped} skipped"] if self.skipped else [])]
        counts = ", ".join([*parts, f"{len(self.failures)} failed"])
        if not self.audio:
            return counts
        rtf = self.seconds / self.audio
        return f"{counts}: {time_text(self.audio)} of audio in {time_text(self.seconds)}, RTF {rtf:.3f}"


def transcribe(inputs: Sequence[str], model: Path, output: Path | None, config: TranscribeConfig) -> Tally:
    """Transcribe sound files, folders and globs into `output`, or to standard output.

    Each result is written as soon as it is known, in the order of the inputs. What failed is told at the end, on
    stderr, even if the run ends with an error; after several inputs also how it went. Raises an `AsrError` for options
    that do not go together and for a model that cannot be used, `OSError` naming the file for a full disk.
    """
    if not inputs:
        raise AsrError("no INPUT: name sound files, folders, globs, or - for standard input")
    if config.resume and output is None:
        raise ConfigError("--resume goes by the files of an output folder: give it with -o DIR")
    names, failures = expand_inputs(inputs)
    files = [model, *config.search.files]
    outputs = Outputs(names, config.format, output, str(model), to_values(config.search), files)
    missing = [name for name in names if not (config.resume and outputs.are_written(name))]
    tally = Tally(len(names) + len(failures), len(names) - len(missing), failures=failures)
    try:
        if missing:
            run = config.run
            with joined(run.device) as group:
                recognizer = Recognizer.load(model, run.device, config.search, run.precision)
                _run(missing, outputs, recognizer, config, group, tally)
    finally:
        for failure in failures if is_leading() else ():
            tell(failure.reason)
    if tally.inputs > 1 and is_leading():
        tell(tally.to_text())
    return tally


def _run(
    names: Sequence[str],
    outputs: Outputs,
    recognizer: Recognizer,
    config: TranscribeConfig,
    group: Group,
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
    results = transcribe_files(recognizer, names, config.run.batch_seconds, group)
    with ThreadPoolExecutor(WRITERS) as pool:
        for name, result in prefetch_map(deliver, results, pool, MOST_WAITING) if outputs.folder else results:
            if isinstance(result, Failure):
                tally.failures.append(result)
                continue
            for note in result.notes:
                tell(f"{name}: {note}")
            if outputs.folder:
                print("".join(f"{one_line(str(path))}\n" for path in outputs.paths(name)), end="", flush=True)
            else:
                label = f"{one_line(name)}: " if labelled else ""
                print(label + outputs.text(name, result), end="", flush=True)
            tally.done += 1
            tally.audio += result.duration
            tally.seconds = time.perf_counter() - started
