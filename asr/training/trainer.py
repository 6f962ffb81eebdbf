"""Training: recipe -> model file, in a loop that can be killed at any step and resumed with identical weights."""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from asr.config import Recipe
from asr.data.dataset import Corpus, load_corpora
from asr.data.feature_cache import CorpusFeatures
from asr.errors import Interrupted, TrainingError
from asr.model.acoustic_model import AcousticModel
from asr.model.model_file import ModelFile, save_model
from asr.text.tokenizer import Tokenizer
from asr.training import summary
from asr.training.base import Base, with_base
from asr.training.checkpoint import average_weights, load_state, save_batch, save_state, save_weights, warm_start
from asr.training.config import TrainingConfig
from asr.training.curves import write_curves
from asr.training.dev_set import DevResult, DevSet
from asr.training.finished_run import check_finished
from asr.training.learner import CtcLearner, NotFiniteError, StepResult, denormals_flushed, learning_rate, seed_step
from asr.training.length import learning_rate_shares, with_length
from asr.training.run_folder import OTHERWISE, Progress, RunFolder
from asr.training.run_log import NoLog, Pace, RunLog, environment
from asr.training.training_set import PlannedBatch, TrainingSet
from asr.utils.device import keep_memory, peak_gigabytes
from asr.utils.distributed import ConnectionLostError, Group, joined
from asr.utils.messages import tell

LOG_STEPS = 10  # steps between records in metrics.jsonl
SKIPPED = StepResult(loss=0.0, too_short=0, gradient_norm=0.0, stop=False)


def train(recipe: Recipe, until: int | None = None) -> Path:
    """Train from a recipe, or resume from the run folder's checkpoint; returns the path of the model file.

    With `until` it pauses after that epoch, with its state saved and, unless that is the last, no model file yet.
    Under torchrun the processes share each batch, and the first one writes.

    Raises `TrainingError` for unusable data, a run folder begun with another recipe, a finished run whose data have
    changed since, a second NaN loss, or when another process of the run has ended; `Interrupted` after Ctrl-C, with the
    state saved.
    """
    keep_memory()
    try:
        with joined(recipe.training.device) as group, denormals_flushed():
            recipe, base = with_base(recipe)
            folder = RunFolder(recipe)
            if folder.model.exists():
                note = check_finished(folder, recipe)
                if group.leads:
                    tell(note)
                return folder.model
            folder.check_recipe()
            corpora = load_corpora(recipe, *((base.tokenizer, base.phones) if base else ()))
            recipe = dataclasses.replace(recipe, training=_training(recipe, folder, corpora[0].hours))
            if group.leads:
                folder.write_recipe(recipe)
            trainer = Trainer(recipe, folder, *corpora, group, base)
            with trainer.started(), interruptible() as interrupted:
                trainer.run(interrupted, until)
                if trainer.ended:
                    trainer.finish()
    except ConnectionLostError as error:
        raise TrainingError(f"{error}; rerun the same command to resume from the last checkpoint") from error
    return folder.model


def _training(recipe: Recipe, folder: RunFolder, hours: float) -> TrainingConfig:
    """The training section with a length: the recipe's, that of the run to resume, or one that suits the data."""
    begun = folder.training_begun() or recipe.training
    open_options = {name: getattr(begun, name) for name in ("epochs", "batch_seconds", "patience")}
    own = {name: value for name in open_options if (value := getattr(recipe.training, name))}
    return with_length(dataclasses.replace(recipe.training, **open_options | own), 3600 * hours, bool(recipe.base))


class Trainer:
    """A run: its data, the model in training, and its progress.

    The constructor reads and writes nothing; `run` and `finish` work inside `started`.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        train_corpus: Corpus,
        dev_corpus: Corpus,
        tokenizer: Tokenizer,
        group: Group,
        base: Base | None = None,
    ):
        self.recipe, self.config, self.folder, self.group = recipe, recipe.training, folder, group
        assert self.config.epochs and self.config.patience and self.config.batch_seconds, "`with_length` chooses them"
        self.epochs, self.patience = self.config.epochs, self.config.patience
        self.tokenizer = tokenizer
        self.train_set = TrainingSet(train_corpus, recipe, group)
        dev_features = CorpusFeatures(dev_corpus.utterances, recipe.features)
        self.dev_set = DevSet(dev_corpus, tokenizer, dev_features, 2 * self.config.batch_seconds, group)
        self.total_steps = self.train_set.total_steps
        torch.manual_seed(self.config.seed)
        phones = len(train_corpus.phone_pieces)
        self.model = AcousticModel(recipe.model, recipe.features.mels, len(tokenizer.pieces), phones)
        self.base = base
        rates = learning_rate_shares(train_corpus.hours, recipe.model.layers, not base.tokenizer) if base else ()
        self.learner = CtcLearner(self.model, self.config, group, train_corpus.phones, rates)
        self.progress = Progress(data_digest=train_corpus.digest() + dev_corpus.digest())
        self.log: RunLog | NoLog = NoLog()
        self.pace = Pace()
        self._last_save = 0.0

    @contextlib.contextmanager
    def started(self) -> Iterator[None]:
        """Load the weights to start from, open the log and compute the features; the log is closed at the end."""
        origin = self._load_start()
        self.learner.connect()  # after loading: it copies the first process's weights to the others
        if self.group.leads:
            self.log = RunLog(self.folder.path, self.progress.step, self.progress.epoch, self.total_steps)
            self.log.record("start", self.progress.step, environment())
            corpora = self.train_set.corpus, self.dev_set.corpus
            for line in [*summary.introduction(self.recipe, *corpora, self.tokenizer, self.learner), *origin]:
                self.log.say(line)
        self._keep_features()
        self._last_save = time.monotonic()
        if self.progress.step == 0:
            self._save()
        with self.log:
            yield

    @property
    def ended(self) -> bool:
        """Whether the last epoch is over, or dev WER has not improved for `patience` epochs."""
        return self.progress.epoch >= self.epochs or self.progress.stale >= self.patience

    def run(self, interrupted: Callable[[], bool], until: int | None = None) -> None:
        """Train to the end, or until this epoch is over."""
        while not self.ended and (until is None or self.progress.epoch < until):
            try:
                self._train_epoch(interrupted)
            except NotFiniteError as error:
                self._rewind(error)
            else:
                self._end_epoch()

    def finish(self) -> None:
        """Write the model file: the average of the best epochs, or the best epoch if that is better on dev."""
        best = [epoch for _, epoch in self.progress.best]
        results = []
        for epochs in (best, best[:1]) if len(best) > 1 else (best,):
            self._load_average(epochs)
            results.append((self._measure(), epochs))
        result, epochs = min(results, key=lambda item: item[0].error)
        self._load_average(epochs)
        self.log.record("final", self.progress.step, {"dev_wer": result.wer, "dev_cer": result.cer, "epochs": epochs})
        self.log.say(summary.final_line(result, epochs, self.progress.seconds))
        if self.group.leads:
            write_curves(self.folder.metrics, self.folder.page)
            self.log.say(f"curves: {self.folder.page}")
            self._write_model(result, epochs)
            self.folder.drop_features()
        self.group.wait()  # every process finds the model; and none leaves the group before the others are done

    def _write_model(self, result: DevResult, epochs: list[int]) -> None:
        recipe, corpora = self.recipe, (self.train_set.corpus, self.dev_set.corpus)
        record = summary.training_record(recipe, *corpora, result, self.progress, epochs)
        phones = self.train_set.corpus.phone_pieces
        parts = recipe.features, recipe.text, recipe.model, self.tokenizer, record, phones, result.priors
        save_model(self.folder.model, ModelFile(self.model.weights(), *parts))

    def _train_epoch(self, interrupted: Callable[[], bool]) -> None:
        progress = self.progress
        workers, pin = self._workers(self.train_set.features), self.learner.device.type == "cuda"
        batches = self.train_set.batches(progress.epoch, progress.batch, workers, pin)
        self.model.train()
        self.pace = Pace()
        self.pace.wait()
        for batch in batches:
            self.pace.work()
            skip = (progress.epoch, progress.batch) == progress.left_out
            result = SKIPPED if skip else self._step(batch, interrupted())
            progress.batch += 1
            progress.step += 1
            progress.seconds += self.pace.done(batch.seconds)
            self.log.progress(progress.step)
            if result.stop:
                self._save()
                self.group.wait()
                raise Interrupted(f"stopped at step {progress.step}, state saved; rerun the same command to resume")
            if time.monotonic() - self._last_save >= 60 * self.config.checkpoint_minutes:
                self._save()
            self.pace.wait()

    def _step(self, batch: PlannedBatch, stop: bool) -> StepResult:
        progress = self.progress
        seed_step(self.config.seed, progress.step, self.group.rank)
        rate = learning_rate(self.config, progress.step, self.total_steps)
        try:
            result = self.learner.step(batch.parts, batch.tokens, progress.step, rate, stop)
        except NotFiniteError as error:
            raise NotFiniteError(self._save_bad_batch(str(error), batch.utterances)) from error
        progress.loss_sum += result.loss
        progress.token_count += batch.tokens
        progress.too_short += result.too_short
        if (progress.step + 1) % LOG_STEPS == 0:
            values = {
                "loss": result.loss / max(1, batch.tokens),
                "gradient_norm": result.gradient_norm,
                "learning_rate": rate,
                "peak_gigabytes": peak_gigabytes(self.learner.device),
            }
            self.log.record("train", progress.step + 1, values | self.pace.values())
        return result

    def _save_bad_batch(self, what: str, utterances: list[int]) -> str:
        """Save a batch for inspection; returns `what` went wrong with the step and names of its utterances."""
        names = [self.train_set.corpus.utterances[index].id for index in utterances]
        if self.group.leads:
            save_batch(self.folder.bad_batch, self.train_set.tensors(self.progress.epoch, utterances), names)
        more = ", ..." if len(names) > 5 else ""
        return f"step {self.progress.step}: {what} for {', '.join(names[:5])}{more} (saved as {self.folder.bad_batch})"

    def _rewind(self, error: NotFiniteError) -> None:
        """Restore the last checkpoint and skip the bad batch from there on; only once in a run."""
        if self.progress.left_out:
            raise TrainingError(
                f"{error}, for the second time: check these recordings, or lower training.learning_rate"
            ) from error
        bad = (self.progress.epoch, self.progress.batch)
        self._restore()
        self.group.wait()
        self.progress.left_out = bad
        self.log.rewind(self.progress.step, self.progress.epoch)
        self.log.say(f"warning: {error}; restored step {self.progress.step}, skipping this batch")
        self._save()

    def _end_epoch(self) -> None:
        """Measure on dev, keep the weights if they are among the best, report, and save."""
        progress, started = self.progress, time.monotonic()
        with self.learner.measured():
            dev = self._measure()
            if self.group.leads:
                save_weights(self.folder.weights(progress.epoch), self.model)
        improved = not progress.best or dev.error < progress.best[0][0]
        # Of epochs with the same error the later ones stay: they have a lower loss.
        epochs = [*progress.best, (dev.error, progress.epoch)]
        progress.best = sorted(epochs, key=lambda each: (each[0], -each[1]))[: self.config.average]
        # Before the network outputs its first words, the rate is 100% for many epochs.
        progress.stale = 0 if improved or progress.best[0][0] >= 1 else progress.stale + 1
        self._report_epoch(dev)
        progress.seconds += time.monotonic() - started
        progress.begin_epoch(progress.epoch + 1)
        self._save()
        # Only now: a crash before this checkpoint would still need the weights that the last one names.
        if self.group.leads:
            self.folder.keep_only([epoch for _, epoch in progress.best])
        self.group.wait()

    def _report_epoch(self, dev: DevResult) -> None:
        pace = self.pace.values()
        self.log.record("epoch", self.progress.step, summary.epoch_values(self.progress, dev) | pace)
        texts = self.dev_set.corpus.texts
        for line in summary.epoch_lines(self.progress, self.epochs, dev, pace, texts):
            self.log.say(line)

    def _measure(self) -> DevResult:
        return self.dev_set.measure(self.model, self._workers(self.dev_set.features))

    def _workers(self, features: CorpusFeatures) -> int:
        return 0 if features.is_cached and self.learner.device.type == "cpu" else self.config.workers

    def _keep_features(self) -> None:
        """The first process computes the features, then the others find them."""
        for turn in (True, False):
            if self.group.leads == turn:
                for features in (self.train_set.features, self.dev_set.features):
                    features.cache(self.folder.features, self.config.cache_gigabytes, self.log.say)
            self.group.wait()

    def _load_average(self, epochs: list[int]) -> None:
        self.model.load_state_dict(average_weights([self.folder.weights(epoch) for epoch in epochs]))

    def _load_start(self) -> list[str]:
        """Restore the checkpoint or load the warm start, if there is one; returns lines to print about it."""
        if self.folder.checkpoint.exists():
            digest = self.progress.data_digest
            self._restore()
            if self.progress.data_digest != digest:
                raise TrainingError(
                    f"{self.folder.checkpoint}: the manifests have changed since this run began; {OTHERWISE}"
                )
            return [f"resuming at step {self.progress.step}, epoch {self.progress.epoch + 1}"]
        start = self.config.warm_start or (self.base and self.base.path)
        notes, phones = self.base.notes if self.base else (), self.train_set.corpus.phone_pieces
        return [*notes, warm_start(self.model, self.tokenizer, phones, start)] if start else []

    def _save(self) -> None:
        if self.group.leads:
            optimizer, average = self.learner.optimizer, self.learner.averaged_weights
            save_state(self.folder.checkpoint, self.model, optimizer, average, self.progress.to_dict())
        self._last_save = time.monotonic()

    def _restore(self) -> None:
        optimizer, average = self.learner.optimizer, self.learner.averaged_weights
        self.progress = Progress.from_dict(load_state(self.folder.checkpoint, self.model, optimizer, average))


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a flag that the loop reads between steps; the second one interrupts at once."""
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
