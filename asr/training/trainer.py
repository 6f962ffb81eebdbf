"""Training: recipe -> model file. One loop that a person can read; what it needs to resume is saved as it goes."""

import contextlib
import itertools
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch

from asr.config import Recipe
from asr.data.batching import BatchDataset, load_batches, part_of, plan_epoch
from asr.data.dataset import Corpus, load_corpora
from asr.data.feature_cache import CorpusFeatures
from asr.decoding.greedy import blank_rate, greedy
from asr.errors import Interrupted, TrainingError
from asr.model.acoustic_model import AcousticModel
from asr.model.model_file import ModelFile, save_model
from asr.model.padding import plan_in_order
from asr.text.tokenizer import Tokenizer
from asr.training.checkpoint import average_weights, load_state, save_batch, save_state, save_weights, warm_start
from asr.training.curves import write_curves
from asr.training.learner import Learner, NotFiniteError, Part, StepResult, denormals_flushed, learning_rate
from asr.training.run_folder import Progress, RunFolder
from asr.training.run_log import NoLog, Pace, RunLog, clock, environment
from asr.utils.config_io import to_values
from asr.utils.device import keep_memory, peak_gigabytes
from asr.utils.distributed import ConnectionLostError, Group, joined

LOG_STEPS = 10  # steps between lines of metrics.jsonl
LEAST_PRIOR = 1e-4  # a token that dev never has is not thought rarer


@dataclass(frozen=True)
class DevResult:
    """How the model does on the dev corpus, decoded greedily."""

    wer: float
    cer: float
    per: float | None  # phone error rate, where there are phones
    blank_rate: float  # share of output frames whose best token is the blank
    hypotheses: list[str]
    priors: tuple[float, ...]  # mean probability of each token, and each phone, over all frames


def train(recipe: Recipe) -> Path:
    """Train as the recipe says, from the start or from the run folder's checkpoint; returns the model file's path.

    Under torchrun the processes share each batch, and the first one writes.

    Raises `TrainingError` for unusable data, a run folder begun with another recipe, a loss that is not a number for
    the second time, or when another process of the run has ended; `Interrupted` after Ctrl-C, with everything saved.
    """
    folder = RunFolder(recipe)
    folder.check_recipe()
    if folder.model.exists():
        return folder.model
    keep_memory()
    try:
        with joined(recipe.training.device) as group, denormals_flushed():
            corpora = load_corpora(recipe)
            if group.leads:
                folder.write_recipe()
            trainer = Trainer(recipe, folder, *corpora, group)
            with trainer.log, _interruptible() as interrupted:
                trainer.run(interrupted)
                trainer.finish()
    except ConnectionLostError as error:
        raise TrainingError(f"{error}; the same command goes on from the last checkpoint") from error
    return folder.model


class Trainer:
    """A run: its data, where it stands, and what it tells."""

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        train_corpus: Corpus,
        dev_corpus: Corpus,
        tokenizer: Tokenizer,
        group: Group,
    ):
        self.recipe, self.config, self.folder, self.group = recipe, recipe.training, folder, group
        self.train_corpus, self.dev_corpus, self.tokenizer = train_corpus, dev_corpus, tokenizer
        torch.manual_seed(self.config.seed)
        phones = len(train_corpus.phone_pieces)
        self.model = AcousticModel(recipe.model, recipe.features.mels, len(tokenizer.pieces), phones)
        self.learner = Learner(self.model, self.config, group)
        self.train_features = CorpusFeatures(
            train_corpus.utterances, recipe.features, recipe.augment, self.config.seed, self.config.epochs
        )
        self.dev_features = CorpusFeatures(dev_corpus.utterances, recipe.features)
        self.total_steps = sum(len(self._plan(epoch)) for epoch in range(self.config.epochs))
        self.progress = Progress(data_digest=train_corpus.digest() + dev_corpus.digest())
        origin = self._begin()
        self.learner.connect()
        self.log = NoLog()
        if group.leads:
            self.log = RunLog(folder.path, self.progress.step, self.progress.epoch, self.total_steps)
        self.pace = Pace()
        self._last_save = time.monotonic()
        self._introduce(origin)
        self._keep_features()

    def run(self, interrupted: Callable[[], bool]) -> None:
        """Epochs until the recipe's number, or until dev WER has stopped getting better."""
        if self.progress.step == 0:
            self._save()
        while self.progress.epoch < self.config.epochs and self.progress.stale < self.config.patience:
            try:
                self._learn_epoch(interrupted)
            except NotFiniteError as trouble:
                self._go_back(trouble)
            else:
                self._close_epoch()

    def finish(self) -> None:
        """Write the model file: the average of the best epochs, or the best one if that is better on dev."""
        epochs = [epoch for _, epoch in self.progress.best]
        candidates = [epochs[:1]] if len(epochs) == 1 else [epochs, epochs[:1]]
        results = []
        for chosen in candidates:
            self._load_average(chosen)
            results.append((self._measure(), chosen))
        result, chosen = min(results, key=lambda item: item[0].wer)
        self._load_average(chosen)
        self.log.record("final", self.progress.step, {"dev_wer": result.wer, "dev_cer": result.cer, "epochs": chosen})
        names = ", ".join(str(epoch + 1) for epoch in sorted(chosen))
        self.log.say(
            f"final: epoch{'s' if len(chosen) > 1 else ''} {names}{' averaged' if len(chosen) > 1 else ''}, "
            f"dev WER {result.wer:.2%}, CER {result.cer:.2%}, {clock(self.progress.seconds)} of training"
        )
        if self.group.leads:
            write_curves(self.folder.metrics, self.folder.page)
            self.log.say(f"curves: {self.folder.page}")
            recipe, summary = self.recipe, self._summary(result, chosen)
            parts = recipe.features, recipe.text, recipe.model, self.tokenizer, summary, self.train_corpus.phone_pieces
            save_model(self.folder.model, ModelFile(self.model.weights(), *parts, result.priors))
            self.folder.drop_features()

    def _learn_epoch(self, interrupted: Callable[[], bool]) -> None:
        progress, durations = self.progress, self.train_features.durations(self.progress.epoch)
        plan = self._plan(progress.epoch)[progress.batch :]
        pieces = [self._piece(indices, number) for indices in plan for number in range(self.config.accumulate)]
        workers, pin = self._workers(self.train_features), self.learner.device.type == "cuda"
        batches = load_batches(self._dataset(pieces), workers, pin)
        self.model.train()
        self.pace = Pace()
        for indices in plan:
            self.pace.wait()
            parts = [
                Part(batch, self._position(number) < len(indices))
                for number, batch in enumerate(itertools.islice(batches, self.config.accumulate))
            ]
            self.pace.work()
            if (progress.epoch, progress.batch) == progress.left_out:
                result = StepResult(0.0, 0, 0.0, False)
            else:
                result = self._step(indices, parts, interrupted())
            progress.batch += 1
            progress.step += 1
            progress.seconds += self.pace.done(sum(durations[index] for index in indices))
            self.log.progress(progress.step, f"epoch {progress.epoch + 1}/{self.config.epochs}")
            if result.stop:
                self._save()
                self.group.wait()
                raise Interrupted(f"stopped at step {progress.step}, all saved; the same command goes on from there")
            if time.monotonic() - self._last_save >= 60 * self.config.checkpoint_minutes:
                self._save()

    def _step(self, indices: list[int], parts: list[Part], stop: bool) -> StepResult:
        progress = self.progress
        tokens = sum(len(self.train_corpus.tokens[index]) for index in indices)
        # Dropout follows from the step, so that a resumed run draws what the interrupted one would have drawn.
        entropy = (self.config.seed, progress.step, self.group.rank)
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        rate = learning_rate(self.config, progress.step, self.total_steps)
        try:
            result = self.learner.step(parts, tokens, progress.step, rate, stop)
        except NotFiniteError as error:
            raise NotFiniteError(self._describe_trouble(str(error), indices)) from error
        progress.loss_sum += result.loss
        progress.token_count += tokens
        progress.too_short += result.too_short
        if (progress.step + 1) % LOG_STEPS == 0:
            values = {
                "loss": result.loss / max(1, tokens),
                "gradient_norm": result.gradient_norm,
                "learning_rate": rate,
                "peak_gigabytes": peak_gigabytes(self.learner.device),
            }
            self.log.record("train", progress.step + 1, values | self.pace.values())
        return result

    def _describe_trouble(self, what: str, indices: list[int]) -> str:
        """Names the batch, and saves it for a person to look at."""
        names = [self.train_corpus.utterances[index].id for index in indices]
        if self.group.leads:
            tensors = self._dataset([indices])[0].tensors()
            save_batch(self.folder.bad_batch, tensors, names)
        more = ", ..." if len(names) > 5 else ""
        return f"step {self.progress.step}: {what} for {', '.join(names[:5])}{more} (saved as {self.folder.bad_batch})"

    def _go_back(self, trouble: NotFiniteError) -> None:
        """To the last checkpoint, once, and from there on without the batch that made the trouble."""
        if self.progress.left_out:
            raise TrainingError(
                f"{trouble}; it has gone back once already: check these recordings, or lower training.learning_rate"
            ) from trouble
        left_out = (self.progress.epoch, self.progress.batch)
        self._restore()
        self.group.wait()
        self.progress.left_out = left_out
        self.log.rewind(self.progress.step, self.progress.epoch)
        self.log.say(f"warning: {trouble}; going back to step {self.progress.step}, and on without this batch")
        self._save()

    def _close_epoch(self) -> None:
        """Measure on dev, keep the weights if they are among the best, tell, and save."""
        progress, started = self.progress, time.monotonic()
        with self.learner.measured():
            dev = self._measure()
            if self.group.leads:
                save_weights(self.folder.weights(progress.epoch), self.model)
        improved = not progress.best or dev.wer < progress.best[0][0]
        ranked = sorted([*progress.best, (dev.wer, progress.epoch)])
        progress.best = ranked[: self.config.average]
        progress.stale = 0 if improved else progress.stale + 1
        self._tell_epoch(dev)
        progress.seconds += time.monotonic() - started
        progress.begin_epoch(progress.epoch + 1)
        self._save()
        # Only now: until the checkpoint no longer names them, a crash would still need these weights.
        if self.group.leads:
            self.folder.keep_only([epoch for _, epoch in progress.best])
        self.group.wait()

    @torch.inference_mode()
    def _measure(self) -> DevResult:
        self.model.eval()
        corpus, device, blanks, frames = self.dev_corpus, self.learner.device, 0, 0
        hypotheses, phones = {}, {}
        probabilities = np.zeros(len(self.tokenizer.pieces) + len(self.train_corpus.phone_pieces))
        plan = plan_in_order(corpus.durations, 2 * self.config.batch_seconds)[self.group.rank :: self.group.size]
        dataset = BatchDataset(self.dev_features, corpus.tokens, plan)
        for batch in load_batches(dataset, self._workers(self.dev_features)):
            output, lengths = self.model(batch.features.to(device), batch.lengths.to(device))
            output, lengths = output.cpu().numpy(), lengths.cpu().numpy()
            for row, length in zip(output, lengths, strict=True):
                probabilities += np.exp(row[:length]).sum(axis=0, dtype=np.float64)
            output, spoken = np.split(output, [len(self.tokenizer.pieces)], axis=-1)
            for index, tokens in zip(batch.utterances, greedy(output, lengths), strict=True):
                hypotheses[index] = self.tokenizer.decode(tokens.indices)
            if corpus.phones:
                rows = (_as_words(tokens.indices) for tokens in greedy(spoken, lengths))
                phones |= zip(batch.utterances, rows, strict=True)
            counts = blank_rate(output, lengths)
            blanks, frames = blanks + counts[0], frames + counts[1]
        hypotheses, phones = self.group.merge(hypotheses), self.group.merge(phones)
        blanks, frames, *probabilities = self.group.sum([blanks, frames, *probabilities])
        ordered = [hypotheses[index] for index in range(len(corpus.texts))]
        wer, cer, per = jiwer.wer(corpus.texts, ordered), jiwer.cer(corpus.texts, ordered), None
        if corpus.phones:
            per = jiwer.wer([_as_words(row) for row in corpus.phones], [phones[index] for index in range(len(ordered))])
        priors = tuple(max(LEAST_PRIOR, probability / frames) for probability in probabilities)
        return DevResult(wer, cer, per, blanks / frames, ordered, priors)

    def _plan(self, epoch: int) -> list[list[int]]:
        return plan_epoch(self.train_features.durations(epoch), self.config.batch_seconds, self.config.seed, epoch)

    def _piece(self, indices: list[int], number: int) -> list[int]:
        """This process's utterances of a batch, in its `number`-th round of accumulation."""
        return part_of(indices, self._position(number), self.group.size * self.config.accumulate)

    def _position(self, number: int) -> int:
        return number * self.group.size + self.group.rank

    def _dataset(self, plan: list[list[int]]) -> BatchDataset:
        corpus, seed, epoch = self.train_corpus, self.config.seed, self.progress.epoch
        return BatchDataset(self.train_features, corpus.tokens, plan, self.recipe.augment, seed, epoch, corpus.phones)

    def _workers(self, features: CorpusFeatures) -> int:
        return 0 if features.kept and self.learner.device.type == "cpu" else self.config.workers

    def _keep_features(self) -> None:
        """The first process makes the features, the others find them."""
        for turn in (True, False):
            if self.group.leads == turn:
                for features in (self.train_features, self.dev_features):
                    features.keep(self.folder.features, self.config.cache_gigabytes, self.log.say)
            self.group.wait()

    def _load_average(self, epochs: list[int]) -> None:
        self.model.load_state_dict(average_weights([self.folder.weights(epoch) for epoch in epochs]))

    def _begin(self) -> str:
        """Weights and progress to begin with; returns where they come from, for people."""
        if self.folder.checkpoint.exists():
            digest = self.progress.data_digest
            self._restore()
            if self.progress.data_digest != digest:
                raise TrainingError(
                    f"{self.folder.checkpoint}: the manifests have changed since this run began; "
                    "train into another --output or delete this folder"
                )
            return f"going on from step {self.progress.step}, epoch {self.progress.epoch + 1}"
        if self.config.warm_start:
            return warm_start(self.model, self.tokenizer, self.config.warm_start)
        return ""

    def _save(self) -> None:
        if self.group.leads:
            optimizer, average = self.learner.optimizer, self.learner.averaged_weights
            save_state(self.folder.checkpoint, self.model, optimizer, average, self.progress.to_dict())
        self._last_save = time.monotonic()

    def _restore(self) -> None:
        optimizer, average = self.learner.optimizer, self.learner.averaged_weights
        self.progress = Progress.from_dict(load_state(self.folder.checkpoint, self.model, optimizer, average))

    def _introduce(self, origin: str) -> None:
        train_corpus, dev_corpus, learner = self.train_corpus, self.dev_corpus, self.learner
        self.log.record("start", self.progress.step, environment())
        self.log.say(
            f"{train_corpus.hours:.2f} h to learn from ({len(train_corpus.utterances)} utterances), "
            f"{dev_corpus.hours:.2f} h dev ({len(dev_corpus.utterances)})"
            + ("; synthetic speech: says nothing of human speech" if dev_corpus.synthetic else "")
        )
        shared = train_corpus.speakers & dev_corpus.speakers
        if shared:
            self.log.say(f"warning: {len(shared)} dev speakers are also in train: dev WER will flatter unseen voices")
        processes = f", {self.group.size} processes" if self.group.size > 1 else ""
        self.log.say(
            f"{self.model.parameter_count():,} parameters, {len(self.tokenizer.pieces) - 1} {self.tokenizer.units} "
            f"tokens, {learner.device}{processes}, {str(learner.dtype).removeprefix('torch.')} ({learner.reason})"
        )
        if origin:
            self.log.say(origin)

    def _tell_epoch(self, dev: DevResult) -> None:
        progress, pace = self.progress, self.pace.values()
        values = {
            "epoch": progress.epoch + 1,
            "loss": progress.loss_sum / max(1, progress.token_count),
            "dev_wer": dev.wer,
            "dev_cer": dev.cer,
            **({} if dev.per is None else {"dev_per": dev.per}),
            "blank_rate": dev.blank_rate,
            "too_short": progress.too_short,
            "seconds": progress.seconds,
        }
        self.log.record("epoch", progress.step, values | pace)
        mark = "  (best)" if progress.best[0][1] == progress.epoch else ""
        phones = "" if dev.per is None else f"PER {dev.per:6.2%}  "
        self.log.say(
            f"epoch {progress.epoch + 1:3d}/{self.config.epochs}  loss {values['loss']:.3f}  dev WER {dev.wer:6.2%}  "
            f"CER {dev.cer:6.2%}  {phones}blank {dev.blank_rate:.0%}  "
            f"{pace['audio_seconds_per_second']:.0f} s/s  waiting {pace['waiting_share']:.1%}  "
            f"{clock(progress.seconds)}{mark}"
        )
        if progress.too_short:
            self.log.say(f"    left out: {progress.too_short} utterances with too few frames for their tokens")
        for index in (0, len(dev.hypotheses) // 2):
            self.log.say(f"    said:  {self.dev_corpus.texts[index]}\n    heard: {dev.hypotheses[index]}")

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
            "settings": _without_folders(to_values(self.config)),
            "augment": _without_folders(to_values(self.recipe.augment)),
            "environment": environment(),
        }


def _as_words(indices: Sequence[int]) -> str:
    return " ".join(map(str, indices))


def _without_folders(values: dict[str, Any]) -> dict[str, Any]:
    """Options as a model file tells them: files by their names, since it goes to other machines and people."""
    names = {key: Path(values[key]).name for key in ("cache", "warm_start", "noise") if values.get(key)}
    return values | names


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
