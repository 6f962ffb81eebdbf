"""Training: recipe -> model file. One loop that a person can read; what it needs to resume is saved as it goes.

The run folder (`output` in the recipe) holds:

    model.safetensors        the result, written at the end
    recipe.json              the recipe as it ran; a resumed run must have the same one
    checkpoint.safetensors   the state to resume from
    epoch-NNN.safetensors    weights of the best epochs, to be averaged
    metrics.jsonl            a line every few steps and every epoch
    tensorboard/             the same for TensorBoard
"""

import contextlib
import dataclasses
import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jiwer
import torch
from torch.nn.functional import ctc_loss

from asr.batching import Batch, BatchDataset, Features, load_batches, plan_epoch, plan_in_order
from asr.checkpoint import ModelFile, average_weights, load_state, save_model, save_state, save_weights
from asr.config import Recipe
from asr.dataset import Corpus, load_corpora
from asr.decoding.greedy import blank_rate, greedy
from asr.device import choose_device, choose_precision
from asr.errors import Interrupted, TrainingError
from asr.features import LogMel
from asr.files import write_atomically
from asr.model import AcousticModel
from asr.runlog import RunLog, clock, environment
from asr.text import Tokenizer
from asr.values import to_values

LOG_STEPS = 10  # steps between lines of metrics.jsonl

# Options that change where and how fast a run goes but not what comes out: they may differ when it is resumed. The
# data may have moved too; that it is the same data is checked by its digest.
FREE_OPTIONS = (
    "output",
    "data.train",
    "data.dev",
    "training.workers",
    "training.memory_gigabytes",
    "training.checkpoint_minutes",
)


@dataclass
class Progress:
    """Where a run stands; saved in every checkpoint."""

    epoch: int = 0
    batch: int = 0  # batches of this epoch that have been learned from
    step: int = 0
    seconds: float = 0.0  # of work, over all resumptions
    loss_sum: float = 0.0  # of this epoch, in nats
    token_count: int = 0  # of this epoch
    best: list[tuple[float, int]] = field(default_factory=list)  # (dev WER, epoch), the best first
    stale: int = 0  # epochs since the last better dev WER
    data_digest: str = ""


@dataclass(frozen=True)
class DevResult:
    """How the model does on the dev corpus, decoded greedily."""

    wer: float
    cer: float
    blank_rate: float  # share of output frames whose best token is the blank
    hypotheses: list[str]


def train(recipe: Recipe) -> Path:
    """Train as the recipe says, from the start or from the run folder's checkpoint; returns the model file's path.

    Raises `TrainingError` for unusable data, a run folder begun with another recipe, or a loss that is not a
    number; `Interrupted` after Ctrl-C, with everything saved.
    """
    model_path = recipe.output / "model.safetensors"
    _check_same_recipe(recipe)
    if model_path.exists():
        return model_path
    train_corpus, dev_corpus, tokenizer = load_corpora(recipe)
    write_atomically(recipe.output / "recipe.json", json.dumps(to_values(recipe), indent=2, ensure_ascii=False))
    trainer = Trainer(recipe, train_corpus, dev_corpus, tokenizer)
    with trainer.log, _interruptible() as interrupted:
        trainer.run(interrupted)
        trainer.finish(model_path)
    return model_path


class Trainer:
    """The state of a run and the steps that change it."""

    def __init__(self, recipe: Recipe, train_corpus: Corpus, dev_corpus: Corpus, tokenizer: Tokenizer):
        self.recipe, self.config = recipe, recipe.training
        self.train_corpus, self.dev_corpus, self.tokenizer = train_corpus, dev_corpus, tokenizer
        self.device = choose_device(self.config.device)
        self.dtype, reason = choose_precision(self.config.precision, self.device)
        # Denormal numbers, which decaying optimizer moments run into, are many times slower on a CPU.
        torch.set_flush_denormal(True)
        torch.manual_seed(self.config.seed)
        self.model = AcousticModel(recipe.model, recipe.features.mels, len(tokenizer.pieces)).to(self.device)
        self.optimizer = self._make_optimizer()
        self.total_steps = sum(len(self._plan(epoch)) for epoch in range(self.config.epochs))
        self.progress = self._resume()
        self.log = RunLog(recipe.output, self.progress.step, self.total_steps)
        self._last_save = time.monotonic()
        self._introduce(reason)
        log_mel, memory = LogMel(recipe.features), self.config.memory_gigabytes
        self.train_features = Features(train_corpus.utterances, log_mel, memory)
        self.dev_features = Features(dev_corpus.utterances, log_mel, memory)

    def run(self, interrupted: Callable[[], bool]) -> None:
        """Epochs until the recipe's number, or until dev WER has stopped getting better."""
        while self.progress.epoch < self.config.epochs and self.progress.stale < self.config.patience:
            self._learn_epoch(interrupted)
            self._close_epoch()

    def finish(self, path: Path) -> None:
        """Write the model file: the average of the best epochs, or the best one if that is better on dev."""
        epochs = [epoch for _, epoch in self.progress.best]
        candidates = [epochs[:1]] if len(epochs) == 1 else [epochs, epochs[:1]]
        results = []
        for chosen in candidates:
            self.model.load_state_dict(average_weights([self._weights_path(epoch) for epoch in chosen]))
            results.append((self._measure(), chosen))
        result, chosen = min(results, key=lambda item: item[0].wer)
        self.model.load_state_dict(average_weights([self._weights_path(epoch) for epoch in chosen]))
        summary = self._summary(result, chosen)
        recipe = self.recipe
        save_model(path, ModelFile(self.model, recipe.features, recipe.text, recipe.model, self.tokenizer, summary))
        self.log.record("final", self.progress.step, {"dev_wer": result.wer, "dev_cer": result.cer, "epochs": chosen})
        names = ", ".join(str(epoch + 1) for epoch in sorted(chosen))
        self.log.say(
            f"final: epoch{'s' if len(chosen) > 1 else ''} {names}{' averaged' if len(chosen) > 1 else ''}, "
            f"dev WER {result.wer:.2%}, CER {result.cer:.2%}, {clock(self.progress.seconds)} of training"
        )

    def _learn_epoch(self, interrupted: Callable[[], bool]) -> None:
        progress = self.progress
        plan = self._plan(progress.epoch)[progress.batch :]
        dataset = BatchDataset(
            self.train_features,
            self.train_corpus.tokens,
            plan,
            self.recipe.augment,
            self.config.seed,
            progress.epoch,
        )
        self.model.train()
        self._epoch_start, self._epoch_audio = time.monotonic(), 0.0
        for batch in load_batches(dataset, self._workers(self.train_features)):
            started = time.monotonic()
            loss, norm = self._step(batch)
            progress.batch += 1
            progress.step += 1
            progress.loss_sum += loss
            progress.token_count += int(batch.token_lengths.sum())
            self._epoch_audio += sum(self.train_corpus.utterances[i].duration for i in batch.utterances)
            progress.seconds += time.monotonic() - started
            self.log.progress(progress.step, f"epoch {progress.epoch + 1}/{self.config.epochs}")
            if progress.step % LOG_STEPS == 0:
                mean = loss / max(1, int(batch.token_lengths.sum()))
                values = {"loss": mean, "gradient_norm": norm, "learning_rate": self._learning_rate()}
                self.log.record("train", progress.step, values)
            if interrupted():
                self._save()
                raise Interrupted(f"stopped at step {progress.step}, all saved; the same command goes on from there")
            if time.monotonic() - self._last_save >= 60 * self.config.checkpoint_minutes:
                self._save()

    def _step(self, batch: Batch) -> tuple[float, float]:
        """One update; returns the summed loss in nats and the gradient norm before clipping."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            output, lengths = self.model(batch.features.to(self.device), batch.lengths.to(self.device))
        loss = ctc_loss(
            output.transpose(0, 1), batch.tokens.to(self.device), lengths, batch.token_lengths, reduction="sum"
        )
        if not torch.isfinite(loss):
            names = ", ".join(self.train_corpus.utterances[i].id for i in batch.utterances[:5])
            raise TrainingError(
                f"step {self.progress.step}: the loss is {loss.item()} for the batch of {names}, ...; "
                "check these recordings, or lower training.learning_rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        (loss / batch.token_lengths.sum()).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        return loss.item(), norm.item()

    def _close_epoch(self) -> None:
        """Measure on dev, keep the weights if they are among the best, tell, and save."""
        progress, started = self.progress, time.monotonic()
        pace = self._epoch_audio / max(1e-9, started - self._epoch_start)
        dev = self._measure()
        save_weights(self._weights_path(progress.epoch), self.model)
        improved = not progress.best or dev.wer < progress.best[0][0]
        ranked = sorted([*progress.best, (dev.wer, progress.epoch)])
        progress.best = ranked[: self.config.average]
        progress.stale = 0 if improved else progress.stale + 1
        self._tell_epoch(dev, pace)
        progress.seconds += time.monotonic() - started
        progress.epoch, progress.batch, progress.loss_sum, progress.token_count = progress.epoch + 1, 0, 0.0, 0
        self._save()
        # Only now: until the checkpoint no longer names them, a crash would still need these weights.
        kept = {self._weights_path(epoch) for _, epoch in progress.best}
        for path in set(self.recipe.output.glob("epoch-*.safetensors")) - kept:
            path.unlink()

    def _tell_epoch(self, dev: DevResult, pace: float) -> None:
        progress = self.progress
        loss = progress.loss_sum / max(1, progress.token_count)
        values = {
            "epoch": progress.epoch + 1,
            "loss": loss,
            "dev_wer": dev.wer,
            "dev_cer": dev.cer,
            "blank_rate": dev.blank_rate,
            "audio_seconds_per_second": pace,
            "seconds": progress.seconds,
        }
        self.log.record("epoch", progress.step, values)
        mark = "  (best)" if progress.best[0][1] == progress.epoch else ""
        self.log.say(
            f"epoch {progress.epoch + 1:3d}/{self.config.epochs}  loss {loss:.3f}  dev WER {dev.wer:6.2%}  "
            f"CER {dev.cer:6.2%}  blank {dev.blank_rate:.0%}  {pace:.0f} s/s  {clock(progress.seconds)}{mark}"
        )
        for index in (0, len(dev.hypotheses) // 2):
            self.log.say(f"    said:  {self.dev_corpus.texts[index]}\n    heard: {dev.hypotheses[index]}")

    @torch.inference_mode()
    def _measure(self) -> DevResult:
        self.model.eval()
        corpus, hypotheses, blanks, frames = self.dev_corpus, {}, 0, 0
        plan = plan_in_order(corpus.durations, 2 * self.config.batch_seconds)
        dataset = BatchDataset(self.dev_features, corpus.tokens, plan)
        for batch in load_batches(dataset, self._workers(self.dev_features)):
            output, lengths = self.model(batch.features.to(self.device), batch.lengths.to(self.device))
            output, lengths = output.cpu().numpy(), lengths.cpu().numpy()
            for index, tokens in zip(batch.utterances, greedy(output, lengths), strict=True):
                hypotheses[index] = self.tokenizer.decode(tokens.indices)
            counts = blank_rate(output, lengths)
            blanks, frames = blanks + counts[0], frames + counts[1]
        ordered = [hypotheses[index] for index in range(len(corpus.texts))]
        wer, cer = jiwer.wer(corpus.texts, ordered), jiwer.cer(corpus.texts, ordered)
        return DevResult(wer, cer, blanks / frames, ordered)

    def _workers(self, features: Features) -> int:
        return self.config.workers if features.kept is None else 0

    def _make_optimizer(self) -> torch.optim.Optimizer:
        matrices = [p for p in self.model.parameters() if p.dim() > 1]
        vectors = [p for p in self.model.parameters() if p.dim() <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate, betas=(0.9, 0.98), fused=True)

    def _learning_rate(self) -> float:
        """Linear warm-up, then half a cosine down to zero at the last step."""
        step, warmup = self.progress.step, max(1, round(self.config.warmup_share * self.total_steps))
        if step < warmup:
            return self.config.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, self.total_steps - warmup)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _plan(self, epoch: int) -> list[list[int]]:
        return plan_epoch(self.train_corpus.durations, self.config.batch_seconds, self.config.seed, epoch)

    def _weights_path(self, epoch: int) -> Path:
        return self.recipe.output / f"epoch-{epoch + 1:03d}.safetensors"

    def _save(self) -> None:
        path = self.recipe.output / "checkpoint.safetensors"
        save_state(path, self.model, self.optimizer, dataclasses.asdict(self.progress))
        self._last_save = time.monotonic()

    def _resume(self) -> Progress:
        path = self.recipe.output / "checkpoint.safetensors"
        digest = self.train_corpus.digest() + self.dev_corpus.digest()
        if not path.exists():
            return Progress(data_digest=digest)
        progress = Progress(**load_state(path, self.model, self.optimizer))
        progress.best = [(wer, epoch) for wer, epoch in progress.best]
        if progress.data_digest != digest:
            raise TrainingError(
                f"{path}: the manifests have changed since this run began; "
                "train into another --output or delete this folder"
            )
        return progress

    def _introduce(self, reason: str) -> None:
        train_corpus, dev_corpus = self.train_corpus, self.dev_corpus
        self.log.record("start", self.progress.step, environment())
        self.log.say(
            f"{train_corpus.hours:.2f} h to learn from ({len(train_corpus.utterances)} utterances), "
            f"{dev_corpus.hours:.2f} h dev ({len(dev_corpus.utterances)})"
            + ("; synthetic speech: says nothing of human speech" if dev_corpus.synthetic else "")
        )
        shared = train_corpus.speakers & dev_corpus.speakers
        if shared:
            self.log.say(f"warning: {len(shared)} dev speakers are also in train: dev WER will flatter unseen voices")
        self.log.say(
            f"{self.model.parameter_count():,} parameters, {len(self.tokenizer.pieces) - 1} {self.tokenizer.units} "
            f"tokens, {self.device}, {str(self.dtype).removeprefix('torch.')} ({reason})"
        )
        if self.progress.step:
            self.log.say(f"going on from step {self.progress.step}, epoch {self.progress.epoch + 1}")

    def _summary(self, dev: DevResult, chosen: list[int]) -> dict[str, Any]:
        return {
            "hours": round(self.train_corpus.hours, 3),
            "utterances": len(self.train_corpus.utterances),
            "speakers": len(self.train_corpus.speakers),
            "synthetic": self.train_corpus.synthetic,
            "train": [path.name for path in self.recipe.data.train],
            "dev": [path.name for path in self.recipe.data.dev],
            "dev_wer": dev.wer,
            "dev_cer": dev.cer,
            "dev_hours": round(self.dev_corpus.hours, 3),
            "dev_synthetic": self.dev_corpus.synthetic,
            "epochs": self.progress.epoch,
            "averaged_epochs": sorted(epoch + 1 for epoch in chosen),
            "steps": self.progress.step,
            "seconds": round(self.progress.seconds),
            "date": datetime.now(UTC).date().isoformat(),
            "settings": to_values(self.config),
            "augment": to_values(self.recipe.augment),
            "environment": environment(),
        }


def _check_same_recipe(recipe: Recipe) -> None:
    path = recipe.output / "recipe.json"
    if not path.exists():
        return
    before, now = (dict(_flatten(values)) for values in (json.loads(path.read_text()), to_values(recipe)))
    changed = [key for key in now if key not in FREE_OPTIONS and before.get(key) != now[key]]
    if changed:
        key = changed[0]
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise TrainingError(
            f"{recipe.output}: this run was begun with {key} = {before.get(key)}, now it is {now[key]}{more}; "
            "train into another --output or delete this folder"
        )


def _flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


@contextlib.contextmanager
def _interruptible():
    """Turn Ctrl-C and a polite kill into a flag that the loop looks at between steps; a second one is obeyed."""
    received = []

    def note(signum, frame):
        if received:
            raise KeyboardInterrupt
        received.append(signum)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
