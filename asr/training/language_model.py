"""Training of a recurrent language model: text -> model file, resumable with identical weights.

The run's folder, NAME-run beside NAME.safetensors, has the checkpoint, metrics.jsonl and TensorBoard's files. The model
file itself is written whenever the perplexity of the dev text is the lowest so far.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from asr.errors import ConfigError, Interrupted, TrainingError
from asr.lm.config import Kind, LmTrainConfig
from asr.lm.recurrent_file import RecurrentFile, read_recurrent, write_recurrent
from asr.lm.recurrent_network import RecurrentNetwork
from asr.lm.word_stream import WordStream, hold_out, read_stream
from asr.training.checkpoint import load_state, read_progress, save_state
from asr.training.config import TrainingConfig
from asr.training.learner import Learner, NotFiniteError, Part, denormals_flushed, learning_rate, seed_step
from asr.training.run_folder import OTHERWISE, Progress, changes
from asr.training.run_log import Pace, RunLog, clock, environment
from asr.training.trainer import interruptible
from asr.utils.config_io import to_values
from asr.utils.device import keep_memory, mixed_precision, peak_gigabytes
from asr.utils.distributed import ALONE, own_group
from asr.utils.files import make_folder

LOG_UPDATES = 50  # updates between records in metrics.jsonl
FORGET = 1 / 16  # of the lanes begin anew in each update, as every recording does
MAY_DIFFER = ("updates", "measure", "checkpoint_minutes", "device")  # options that a resumed run may change


@dataclass(frozen=True)
class Passage:
    """Words to read and to predict, `(span, lanes)` each, and the lanes that begin anew, `(lanes,)`."""

    words: Tensor
    targets: Tensor
    forget: Tensor


class LmLearner(Learner):
    """A recurrent language model in training."""

    model: RecurrentNetwork

    def __init__(self, model: RecurrentNetwork, config: TrainingConfig, samples: int):
        super().__init__(model, config, ALONE)
        self._samples = samples

    def loss(self, batch: Passage) -> tuple[Tensor, int]:
        """The loss of a passage, and no utterances skipped."""
        self.model.forget(batch.forget)
        with mixed_precision(self.device, self.dtype):
            outputs = self.model(batch.words.to(self.device))
            return self.model.loss(outputs, batch.targets.to(self.device), self._samples), 0

    @torch.inference_mode()
    def perplexity(self, words: np.ndarray, span: int) -> float:
        """Perplexity of a text, read in lanes side by side; the state of the training is left as it is."""
        kept, lanes = self.model.state, self.model.state.shape[2]
        rows = _lanes(words, lanes)
        self.model.eval()
        self.model.forget()
        total = 0.0
        for first in range(0, rows.shape[1] - 1, span):
            part = torch.from_numpy(rows[:, first : first + span + 1].T.astype(np.int64)).to(self.device)
            with mixed_precision(self.device, self.dtype):
                total += self.model.loss(self.model(part[:-1]), part[1:], 0).item()
        self.model.train()
        self.model.state = kept
        return math.exp(total / (rows[:, 1:].size))


def train_recurrent(texts: Sequence[Path], config: LmTrainConfig, output: Path) -> RecurrentFile:
    """Train by the options, or resume; returns the model file's contents.

    Raises `ConfigError` for options that exclude each other, `LanguageModelError` for unusable text, `TrainingError`
    for a run begun with other options or texts and for a NaN loss, `Interrupted` after Ctrl-C, with the state saved.
    """
    if output.suffix != ".safetensors":
        raise ConfigError(f"{output}: a recurrent model's name must end in .safetensors")
    if own_group().size > 1:
        raise ConfigError("asr lm train: works in one process; start it without torchrun")
    keep_memory()
    stream = read_stream(texts, config)
    trainer = LmTrainer(stream, config, output)
    with denormals_flushed(), interruptible() as interrupted:
        trainer.run(interrupted)
    return read_recurrent(output)


class LmTrainer:
    """A run: its text, the network in training, and its progress."""

    def __init__(self, stream: WordStream, config: LmTrainConfig, output: Path):
        self.config, self.options, self.output, self.stream = config, config.recurrent, output, stream
        self.kind = cast(Kind, config.kind)
        self.folder = output.with_name(f"{output.stem}-run")
        self.checkpoint = self.folder / "checkpoint.safetensors"
        options = self.options
        if options.dev:
            self.train_words, self.dev_words = stream.ids, stream.encode([options.dev], config)
        else:
            self.train_words, self.dev_words = hold_out(stream.ids)
        lanes = options.lanes
        if min(len(self.train_words) // lanes, len(self.dev_words)) < 2 * options.span:
            raise ConfigError(
                f"the text has {len(stream.ids):,} words, too few for --lanes {lanes} --span {options.span}: lower them"
            )
        torch.manual_seed(options.seed)
        self.model = RecurrentNetwork(self.kind, len(stream.words), options)
        self.learner = LmLearner(self.model, _training_config(config), options.samples)
        digest = hashlib.sha256(self.train_words.tobytes() + self.dev_words.tobytes()).hexdigest()[:16]
        self.progress = Progress(data_digest=digest)
        self.pace = Pace()
        self._rows = _lanes(self.train_words, lanes)
        self._last_save = time.monotonic()

    def run(self, interrupted: Callable[[], bool]) -> None:
        """Train until the last update."""
        make_folder(self.folder)
        notes = self._resume()
        with RunLog(self.folder, self.progress.step, self.progress.epoch, self.options.updates) as log:
            log.record("start", self.progress.step, environment())
            for note in [*self._introduction(), *notes]:
                log.say(note)
            while self.progress.step < self.options.updates:
                self._update(log)
                step = self.progress.step
                if step % self.options.measure == 0 or step == self.options.updates:
                    self._measure(log)
                if interrupted() and step < self.options.updates:
                    self._save()
                    raise Interrupted(f"stopped at update {step}, state saved; rerun the same command to resume")
                if time.monotonic() - self._last_save >= 60 * self.options.checkpoint_minutes:
                    self._save()
            self._save()

    def _update(self, log: RunLog) -> None:
        progress, options = self.progress, self.options
        seed_step(options.seed, progress.step)
        self.pace.wait()
        passage = self._passage(progress.step)
        self.pace.work()
        rate = learning_rate(self.learner.config, progress.step, options.updates)
        try:
            result = self.learner.step([Part(passage)], passage.targets.numel(), progress.step, rate)
        except NotFiniteError as error:
            raise TrainingError(
                f"update {progress.step}: {error}; rerun with a lower --learning_rate into another --output"
            ) from error
        progress.step += 1
        progress.loss_sum += result.loss
        progress.token_count += passage.targets.numel()
        progress.seconds += self.pace.done(0.0)
        log.progress(progress.step)
        if progress.step % LOG_UPDATES == 0:
            values = {
                "loss": result.loss / passage.targets.numel(),
                "gradient_norm": result.gradient_norm,
                "learning_rate": rate,
                "words_per_second": passage.targets.numel() * progress.step / max(1e-9, progress.seconds),
                "peak_gigabytes": peak_gigabytes(self.learner.device),
            }
            log.record("train", progress.step, values)

    def _passage(self, step: int) -> Passage:
        """The words of an update: the lanes are read from left to right, again and again."""
        span = self.options.span
        first = (step % ((self._rows.shape[1] - 1) // span)) * span
        part = torch.from_numpy(self._rows[:, first : first + span + 1].T.astype(np.int64))
        forget = torch.rand(self.options.lanes) < FORGET
        return Passage(part[:-1], part[1:], forget if first else torch.ones_like(forget))

    def _measure(self, log: RunLog) -> None:
        """Measure on dev, write the model if it is the best so far, report, and save."""
        progress, started = self.progress, time.monotonic()
        perplexity = self.learner.perplexity(self.dev_words, self.options.span)
        progress.epoch += 1
        if not progress.best or perplexity < progress.best[0][0]:
            progress.best = [(perplexity, progress.epoch)]
            self._write(perplexity)
        progress.seconds += time.monotonic() - started
        loss = progress.loss_sum / max(1, progress.token_count)
        values = {"epoch": progress.epoch, "loss": loss, "dev_perplexity": perplexity, "seconds": progress.seconds}
        log.record("epoch", progress.step, values)
        read = progress.step * self.options.lanes * self.options.span
        log.say(
            f"update {progress.step:,} of {self.options.updates:,}: {read / 1e6:.1f} million words read, "
            f"loss {loss:.3f}, dev perplexity {perplexity:.1f}, {clock(progress.seconds)}"
        )
        progress.loss_sum, progress.token_count = 0.0, 0
        self._save()

    def _write(self, perplexity: float) -> None:
        training = {
            "words": len(self.train_words),
            "read": self.progress.step * self.options.lanes * self.options.span,
            "dev_words": len(self.dev_words),
            "dev_perplexity": perplexity,
            "update": self.progress.step,
            "options": _plain(self.config),
        }
        weights = {name: tensor.cpu().numpy() for name, tensor in self.model.state_dict().items() if name != "state"}
        config = self.config
        contents = RecurrentFile(
            weights, self.kind, tuple(self.stream.words), config.normalizer, config.characters, training
        )
        write_recurrent(self.output, contents)

    def _introduction(self) -> Iterator[str]:
        learner, unit = self.learner, self.config.unit
        values = sum(parameter.numel() for parameter in self.model.parameters())
        yield (
            f"text: {len(self.train_words):,} {unit}, dev {len(self.dev_words):,}; "
            f"vocabulary {len(self.stream.words):,}, {self.stream.unknown_share:.2%} of the text unknown"
        )
        yield f"network: {self.config.kind}, {self.options.layers} x {self.options.units}, {values:,} parameters"
        yield f"device: {learner.device}, {str(learner.dtype).removeprefix('torch.')} ({learner.reason})"

    def _state(self) -> dict[str, Any]:
        return {"progress": self.progress.to_dict(), "options": _plain(self.config)}

    def _save(self) -> None:
        save_state(self.checkpoint, self.model, self.learner.optimizer, {}, self._state())
        self._last_save = time.monotonic()

    def _resume(self) -> list[str]:
        """Restore the checkpoint, if there is one; returns lines to print about it."""
        if not self.checkpoint.exists():
            return []
        digest = self.progress.data_digest
        state = read_progress(self.checkpoint)
        now = _plain(self.config)
        changed = changes(state["options"], now, now)
        self.progress = Progress.from_dict(state["progress"])
        if self.progress.data_digest != digest:
            changed.append("another text")
        if changed:
            raise TrainingError(f"{self.folder}: this run was begun with {changed[0]}; {OTHERWISE}")
        load_state(self.checkpoint, self.model, self.learner.optimizer, {})
        done = self.progress.step >= self.options.updates
        if done and not self.output.exists():
            raise TrainingError(f"{self.output}: missing, but its run is finished; delete {self.folder} to train again")
        return ["this run is finished"] if done else [f"resuming at update {self.progress.step:,}"]


def _plain(config: LmTrainConfig) -> dict[str, Any]:
    """The options that a resumed run must share."""
    values = to_values(config)
    values |= values.pop("recurrent")
    kept = {name: value for name, value in values.items() if name not in MAY_DIFFER}
    return json.loads(json.dumps(kept))  # as the checkpoint has them: lists, no tuples


def _training_config(config: LmTrainConfig) -> TrainingConfig:
    options = config.recurrent
    return TrainingConfig(
        learning_rate=options.learning_rate,
        warmup_share=0.05,
        weight_decay=0.0,
        clip_norm=1.0,
        precision=options.precision,
        device=options.device,
    )


def _lanes(words: np.ndarray, lanes: int) -> np.ndarray:
    """A text in equal parts, `(lanes, words)`, without a remainder."""
    length = len(words) // lanes
    return words[: lanes * length].reshape(lanes, length)
