"""`asr punctuate train`: punctuated text -> punctuation model, by the same learner, logs and checkpoints as speech."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from asr.errors import Interrupted, TrainingError
from asr.punctuation.config import PunctuationConfig
from asr.punctuation.corpus import LabelledText, plan_batches, read_text
from asr.punctuation.labels import CASES
from asr.punctuation.model_file import PunctuationFile, save_punctuation
from asr.punctuation.network import PunctuationNetwork
from asr.punctuation.scores import PunctuationScores
from asr.punctuation.thresholds import f1_offsets
from asr.training.checkpoint import load_state, save_state
from asr.training.learner import Learner, NotFiniteError, Part, denormals_flushed, learning_rate, seed_step
from asr.training.run_folder import OTHERWISE, Progress, changes
from asr.training.run_log import RunLog, clock, environment
from asr.training.trainer import LOG_STEPS, interruptible
from asr.utils.config_io import MAY_CHANGE, marked, to_values
from asr.utils.device import keep_memory, mixed_precision
from asr.utils.distributed import ALONE
from asr.utils.files import make_folder, write_atomically

DEV_SHARE = 0.02  # of the training text, kept for dev without a text for it


@dataclass(frozen=True)
class LabelBatch:
    """Words of examples of one length, with their labels."""

    features: Tensor  # (batch, words, FEATURES) int64
    cases: Tensor  # (batch, words) int64
    marks: Tensor  # (batch, words) int64


@dataclass(frozen=True)
class Predictions:
    """The network's output for the words of a text, and their labels."""

    case_scores: np.ndarray  # (words, cases)
    mark_scores: np.ndarray  # (words, marks)
    cases: np.ndarray  # (words,) the true ones
    marks: np.ndarray  # (words,)
    loss: float  # nats per word

    def scores(self, offsets: np.ndarray | float = 0.0) -> PunctuationScores:
        """How well the highest scores predict, with offsets for those of the marks."""
        predicted = self.case_scores.argmax(-1), (self.mark_scores + offsets).argmax(-1)
        return PunctuationScores.of((self.cases, self.marks), predicted)


class LabelLearner(Learner):
    """A punctuation network in training."""

    def loss(self, batch: LabelBatch) -> tuple[Tensor, int]:
        """Cross-entropy of the cases and of the marks in nats, summed over the words."""
        cases, marks = self.scores(batch.features)
        targets = batch.cases.to(self.device).flatten(), batch.marks.to(self.device).flatten()
        losses = [
            cross_entropy(scores.float().flatten(0, 1), target, reduction="sum")
            for scores, target in zip((cases, marks), targets, strict=True)
        ]
        return losses[0] + losses[1], 0

    def scores(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """`(batch, words, FEATURES)` -> scores of the cases and of the marks, `(batch, words, labels)` each."""
        with mixed_precision(self.device, self.dtype):
            output = self._network(features.to(self.device))
        return output[..., : len(CASES)], output[..., len(CASES) :]


def train_punctuation(texts: Sequence[Path], output: Path, config: PunctuationConfig) -> Path:
    """Train on punctuated texts, or resume from the checkpoint in the run folder beside the output.

    Returns the path of the model file. Raises `TextError` for an unusable text, `TrainingError` for a run begun with
    other options or text or for a NaN loss, `Interrupted` after Ctrl-C, with the state saved.
    """
    keep_memory()
    folder = make_folder(output.with_name(f"{output.stem}-run"))
    _check_options(folder / "options.json", config)
    train = read_text(texts)
    dev = read_text(config.dev) if config.dev else None
    if dev is None:
        ends = train.sentence_ends
        wanted = int(len(train) * (1 - DEV_SHARE))
        train, dev = train.split(
            int(ends[np.searchsorted(ends, wanted)]) if len(ends) and ends[-1] > wanted else wanted
        )
    with denormals_flushed(), interruptible() as interrupted:
        run = PunctuationTraining(train, dev, folder, config)
        run.run(interrupted)
        weights, scores = run.finish()
    record = {
        "train": [path.name for path in texts],
        "words": len(train),
        "dev_words": len(dev),
        "dev": scores.values(),
        "settings": {**to_values(config), "dev": [path.name for path in config.dev]},
        "seconds": round(run.progress.seconds),
        "date": datetime.now(UTC).date().isoformat(),
        "environment": environment(),
    }
    save_punctuation(output, PunctuationFile(weights, config.buckets, record))
    return output


def _check_options(path: Path, config: PunctuationConfig) -> None:
    """Record the options of a run; raises `TrainingError` when the folder holds a run of others."""
    values = json.loads(json.dumps(to_values(config)))
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if changed := changes(before, values, sorted(values.keys() - marked(PunctuationConfig, MAY_CHANGE))):
            raise TrainingError(f"{path.parent}: this run was begun with {changed[0]}; {OTHERWISE}")
    write_atomically(path, json.dumps(values, indent=2))


class Examples:
    """A labelled text as batches of tensors."""

    def __init__(self, text: LabelledText, config: PunctuationConfig):
        self.text, self._config = text, config
        self._features = torch.from_numpy(text.features(config.buckets))

    def plan(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, counted from 0, as positions of words `(batch, words)`."""
        seed = self._config.seed, epoch
        return plan_batches(self.text.windows(self._config.window, seed), self._config.batch_words, seed)

    def batch(self, positions: np.ndarray) -> LabelBatch:
        """The features and labels of these words."""
        features = self._features[torch.from_numpy(self.text.ids[positions]).long()]
        cases, marks = (torch.from_numpy(labels[positions]).long() for labels in (self.text.cases, self.text.marks))
        return LabelBatch(features, cases, marks)


class PunctuationTraining:
    """A run: its texts, the network in training, and its progress."""

    def __init__(self, train: LabelledText, dev: LabelledText, folder: Path, config: PunctuationConfig):
        self.config = config
        self.train, self.dev = Examples(train, config), Examples(dev, config)
        torch.manual_seed(config.seed)
        self.learner = LabelLearner(PunctuationNetwork(config), config, ALONE)
        self.progress = Progress(data_digest=train.digest() + dev.digest())
        self._checkpoint = folder / "checkpoint.safetensors"
        note = self._resume() if self._checkpoint.exists() else []
        self._plans = [self.train.plan(epoch) for epoch in range(config.epochs)]
        self.total_steps = sum(map(len, self._plans))
        self.log = RunLog(folder, self.progress.step, self.progress.epoch, self.total_steps)
        self.log.record("start", self.progress.step, environment())
        for line in [self._introduction(), *note]:
            self.log.say(line)
        self._saved = time.monotonic()

    def run(self, interrupted: Callable[[], bool]) -> None:
        """Train until the last epoch."""
        with self.log:
            while self.progress.epoch < self.config.epochs:
                self._train_epoch(interrupted)
                self._end_epoch()

    def finish(self) -> tuple[dict[str, np.ndarray], PunctuationScores]:
        """The weights, with the output layer's bias set for F1 on dev, and the scores there."""
        predicted = self._predict()
        offsets = f1_offsets(predicted.mark_scores, predicted.marks)
        with self.learner.measured():
            weights = {name: tensor.cpu().numpy().copy() for name, tensor in self.learner.model.state_dict().items()}
        weights["head.bias"][len(CASES) :] += offsets
        return weights, predicted.scores(offsets)

    def _introduction(self) -> str:
        size = sum(parameter.numel() for parameter in self.learner.model.parameters())
        text, dev = self.train.text, self.dev.text
        return (
            f"train {len(text):,} words ({len(text.vocabulary):,} different), dev {len(dev):,}; "
            f"{text.left_out:,} paragraphs with digits left out; {size:,} parameters, {self.learner.device}, "
            f"{str(self.learner.dtype).removeprefix('torch.')} ({self.learner.reason})"
        )

    def _train_epoch(self, interrupted: Callable[[], bool]) -> None:
        progress, model = self.progress, self.learner.model
        model.train()
        for positions in self._plans[progress.epoch][progress.batch :]:
            started = time.monotonic()
            self._step(positions)
            progress.batch += 1
            progress.step += 1
            progress.seconds += time.monotonic() - started
            self.log.progress(progress.step)
            if interrupted():
                self._save()
                raise Interrupted(f"stopped at step {progress.step}, state saved; rerun the same command to resume")
            if time.monotonic() - self._saved >= 60 * self.config.checkpoint_minutes:
                self._save()

    def _step(self, positions: np.ndarray) -> None:
        progress = self.progress
        seed_step(self.config.seed, progress.step)
        rate = learning_rate(self.config, progress.step, self.total_steps)
        try:
            result = self.learner.step([Part(self.train.batch(positions))], positions.size, progress.step, rate)
        except NotFiniteError as error:
            raise TrainingError(f"step {progress.step}: {error}; lower --learning_rate") from error
        progress.loss_sum += result.loss
        progress.token_count += positions.size
        if (progress.step + 1) % LOG_STEPS == 0:
            values = {"loss": result.loss / positions.size, "gradient_norm": result.gradient_norm}
            self.log.record("train", progress.step + 1, values | {"learning_rate": rate})

    def _end_epoch(self) -> None:
        """Measure on dev, report and save."""
        progress = self.progress
        predicted = self._predict()
        scores = predicted.scores()
        loss = progress.loss_sum / max(1, progress.token_count)
        values = {"epoch": progress.epoch + 1, "loss": loss, "dev_loss": predicted.loss, "seconds": progress.seconds}
        self.log.record("epoch", progress.step, values | scores.values())
        self.log.say(
            f"epoch {progress.epoch + 1}/{self.config.epochs}  loss {loss:.4f}  "
            f"dev {predicted.loss:.4f} nats per word  {scores.to_line()}  {clock(progress.seconds)}"
        )
        progress.begin_epoch(progress.epoch + 1)
        self._save()

    @torch.inference_mode()
    def _predict(self) -> Predictions:
        model, loss, parts = self.learner.model.eval(), 0.0, []
        with self.learner.measured():
            for positions in self.dev.plan(0):
                batch = self.dev.batch(positions)
                loss += self.learner.loss(batch)[0].item()
                cases, marks = self.learner.scores(batch.features)
                parts.append([each.float().flatten(0, 1).cpu() for each in (cases, marks)])
                parts[-1] += [batch.cases.flatten(), batch.marks.flatten()]
        model.train()
        case_scores, mark_scores, cases, marks = (torch.cat(each).numpy() for each in zip(*parts, strict=True))
        return Predictions(case_scores, mark_scores, cases, marks, loss / len(self.dev.text))

    def _save(self) -> None:
        learner = self.learner
        progress = self.progress.to_dict()
        save_state(self._checkpoint, learner.model, learner.optimizer, learner.averaged_weights, progress)
        self._saved = time.monotonic()

    def _resume(self) -> list[str]:
        learner, digest = self.learner, self.progress.data_digest
        progress = load_state(self._checkpoint, learner.model, learner.optimizer, learner.averaged_weights)
        self.progress = Progress.from_dict(progress)
        if self.progress.data_digest != digest:
            raise TrainingError(f"{self._checkpoint}: the text has changed since this run began; {OTHERWISE}")
        return [f"resuming at step {self.progress.step}, epoch {self.progress.epoch + 1}"]
