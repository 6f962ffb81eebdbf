"""The training run of a network that learns from text: a recurrent language model or a punctuation model.

It can be killed at any update and resumed with identical weights. Its folder, NAME-run beside NAME.safetensors, has the
checkpoint, metrics.jsonl and TensorBoard's files.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.errors import Interrupted, TrainingError
from asr.training.checkpoint import load_state, read_progress, save_state
from asr.training.learner import Learner, NotFiniteError, Part, denormals_flushed, learning_rate, seed_step
from asr.training.run_folder import OTHERWISE, Progress, changes, fixed_options
from asr.training.run_log import RunLog, clock, environment
from asr.training.trainer import interruptible
from asr.utils.device import keep_memory, peak_gigabytes
from asr.utils.files import make_folder

LOG_UPDATES = 10  # updates between records in metrics.jsonl


@dataclass(frozen=True)
class Length:
    """How long a run is: a number of updates, or a time."""

    updates: int
    minutes: float = 0.0  # instead of the updates, unless 0

    def place(self, progress: Progress) -> tuple[int, int]:
        """How far a run is and where it ends: in updates, or in milliseconds if its time is limited."""
        if self.minutes:
            return round(1000 * progress.seconds), round(60_000 * self.minutes)
        return progress.step, self.updates


class TextRun(ABC):
    """A network in training, and its progress. A subclass has the batches and what is measured."""

    def __init__(self, output: Path, learner: Learner, config: Any, data_digest: str, length: Length):
        """`config` are the options that a resumed run must share, except for those that are marked `MAY_CHANGE`.

        Raises `TrainingError` when the run in the output's folder was begun with others, or with other data.
        """
        self.output, self.learner, self.length = output, learner, length
        self.folder = make_folder(output.with_name(f"{output.stem}-run"))
        self.checkpoint = self.folder / "checkpoint.safetensors"
        self.progress = Progress(data_digest=data_digest)
        self._options = fixed_options(config)
        self._notes = self._resume() if self.checkpoint.exists() else []

    @abstractmethod
    def introduction(self) -> Iterator[str]:
        """Lines about the text and the network."""

    @abstractmethod
    def batch(self, update: int) -> tuple[Any, int]:
        """The batch of an update, counted from 0, and its number of words."""

    @abstractmethod
    def due(self, updates: int) -> bool:
        """Whether to measure after this number of updates; after the last one it is done anyway."""

    @abstractmethod
    def measure(self) -> tuple[dict[str, float], str]:
        """Measure on the dev text: figures for the log, and a line that reports them."""

    def run(self, seed: int, checkpoint_minutes: float) -> None:
        """Train until the last update, or until the time is over.

        Raises `TrainingError` for a NaN loss, `Interrupted` after Ctrl-C or SIGTERM, with the state saved.
        """
        keep_memory()
        progress, saved = self.progress, time.monotonic()
        self._begun = saved - progress.seconds
        log = RunLog(self.folder, progress.step, progress.epoch, self.length.place(progress)[1])
        with denormals_flushed(), interruptible() as interrupted, log:
            log.record("start", progress.step, environment())
            for line in [*self.introduction(), self.learner.description, *self._notes]:
                log.say(line)
            self.learner.model.train()
            while not self.finished:
                self._update(log, seed)
                done = self.finished
                if done or self.due(progress.step):
                    self._measure(log)
                    saved = time.monotonic()
                if interrupted() and not done:
                    self._save()
                    message = f"stopped at update {progress.step}, state saved; rerun the same command to resume"
                    raise Interrupted(message)
                if time.monotonic() - saved >= 60 * checkpoint_minutes:
                    self._save()
                    saved = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether the last update is done, or the time is over."""
        done, end = self.length.place(self.progress)
        return done >= end

    def _update(self, log: RunLog, seed: int) -> None:
        progress, started = self.progress, time.monotonic()
        seed_step(seed, progress.step)
        batch, words = self.batch(progress.step)
        rate = learning_rate(self.learner.config, *self.length.place(progress))
        try:
            result = self.learner.step([Part(batch)], words, progress.step, rate)
        except NotFiniteError as error:
            raise TrainingError(
                f"update {progress.step}: {error}; rerun with a lower --learning_rate into another --output"
            ) from error
        now = time.monotonic()
        progress.step += 1
        progress.loss_sum += result.loss
        progress.token_count += words
        progress.seconds = now - self._begun
        log.progress(self.length.place(progress)[0])
        if progress.step % LOG_UPDATES == 0:
            values = {
                "loss": result.loss / words,
                "gradient_norm": result.gradient_norm,
                "learning_rate": rate,
                "words_per_second": words / max(1e-9, now - started),
                "peak_gigabytes": peak_gigabytes(self.learner.device),
            }
            log.record("train", progress.step, values)

    def _measure(self, log: RunLog) -> None:
        """Measure on the dev text, report and save."""
        progress = self.progress
        values, line = self.measure()
        self.learner.model.train()
        progress.seconds = time.monotonic() - self._begun
        loss = progress.loss_sum / max(1, progress.token_count)
        progress.begin_epoch(progress.epoch + 1)
        shared = {"epoch": progress.epoch, "loss": loss, "seconds": progress.seconds}
        log.record("epoch", progress.step, shared | values)
        of = "" if self.length.minutes else f" of {self.length.updates:,}"
        log.say(f"update {progress.step:,}{of}: loss {loss:.3f}, {line}, {clock(progress.seconds)}")
        self._save()

    def _save(self) -> None:
        learner, state = self.learner, {"progress": self.progress.to_dict(), "options": self._options}
        save_state(self.checkpoint, learner.model, learner.optimizer, learner.averaged_weights, state)

    def _resume(self) -> list[str]:
        """Restore the checkpoint; returns lines to print about it."""
        state, digest = read_progress(self.checkpoint), self.progress.data_digest
        changed = changes(state["options"], self._options, self._options)
        self.progress = Progress.from_dict(state["progress"])
        if self.progress.data_digest != digest:
            changed.append("another text")
        if changed:
            raise TrainingError(f"{self.folder}: this run was begun with {changed[0]}; {OTHERWISE}")
        learner = self.learner
        load_state(self.checkpoint, learner.model, learner.optimizer, learner.averaged_weights)
        return ["this run is finished" if self.finished else f"resuming at update {self.progress.step:,}"]
