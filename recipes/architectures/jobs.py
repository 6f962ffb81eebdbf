"""Jobs in separate processes whose results are kept on disk, so that a rerun only does what is missing."""

import contextlib
import dataclasses
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from asr.training.run_log import clock
from asr.utils.files import make_folder, write_atomically
from asr.utils.progress import progress_bar


@dataclass(frozen=True)
class Job:
    """A function, its arguments, and the file that keeps its result."""

    title: str
    path: Path
    kind: type  # of the result: a dataclass
    work: Callable[..., Any]
    arguments: tuple

    def load(self) -> Any | None:
        """The kept result, if it is that of the same arguments."""
        if not self.path.exists():
            return None
        record = json.loads(self.path.read_text())
        if record["arguments"] != self._key():
            return None
        return msgspec.convert(record["result"], self.kind)

    def run(self) -> None:
        """Do the work in this process; its messages go to a file beside the result."""
        make_folder(self.path.parent)
        with self.path.with_suffix(".log").open("a") as log, contextlib.redirect_stderr(log):
            result = self.work(*self.arguments)
        record = {"arguments": self._key(), "result": dataclasses.asdict(result)}
        write_atomically(self.path, json.dumps(record, indent=1))

    def _key(self) -> Any:
        return json.loads(msgspec.json.encode(self.arguments, enc_hook=str))


def run_all(jobs: Sequence[Job], processes: int) -> list[Any]:
    """The result of each job. Each runs in a fresh process, so that its memory can be measured."""
    missing = [job for job in jobs if job.load() is None]
    started = time.monotonic()
    if missing:
        # Forked from a process that has only imported the libraries.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["asr.training.trainer", "asr.evaluation.evaluate_model"])
        pool = ProcessPoolExecutor(min(processes, len(missing)), context, max_tasks_per_child=1)
        try:
            with progress_bar("study", len(missing)) as advance:
                futures = {pool.submit(job.run): job for job in missing}
                for count, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    advance(1)
                    took = clock(time.monotonic() - started)
                    print(f"{count:3d}/{len(missing)}  {took}  {futures[future].title}", file=sys.stderr, flush=True)
        except BaseException:
            # Report the error now, not when the other jobs are through; their checkpoints remain.
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    return [job.load() for job in jobs]
