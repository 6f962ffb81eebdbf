"""`asr punctuate train`: punctuated text -> punctuation model, by the same learner, logs and checkpoints as speech."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from asr.errors import TextError
from asr.punctuation.config import PunctuationConfig
from asr.punctuation.corpus import BatchPlan, LabelledText, plan_batches, read_text
from asr.punctuation.labels import CASES
from asr.punctuation.model_file import PunctuationFile, load_punctuation, save_punctuation
from asr.punctuation.network import PunctuationNetwork
from asr.punctuation.scores import PunctuationScores
from asr.punctuation.thresholds import MEASURED, f1_offsets
from asr.training.learner import Learner
from asr.training.run_log import environment
from asr.training.text_run import Length, TextRun
from asr.utils.config_io import to_values
from asr.utils.device import mixed_precision
from asr.utils.distributed import ALONE

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
        targets = batch.cases.flatten(), batch.marks.flatten()
        losses = [
            cross_entropy(scores.float().flatten(0, 1), target, reduction="sum")
            for scores, target in zip((cases, marks), targets, strict=True)
        ]
        return losses[0] + losses[1], 0

    def scores(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """`(batch, words, FEATURES)` -> scores of the cases and of the marks, `(batch, words, labels)` each."""
        with mixed_precision(self.device, self.dtype):
            output = self._network(features)
        return output[..., : len(CASES)], output[..., len(CASES) :]


def train_punctuation(texts: Sequence[Path], output: Path, config: PunctuationConfig) -> Path:
    """Train on punctuated texts, or resume from the checkpoint in the run folder beside the output.

    Returns the path of the model file. Raises `TextError` for an unusable text, `TrainingError` for a run begun with
    other options or text or for a NaN loss, `ModelFileError` for an unusable base, `Interrupted` after Ctrl-C, with the
    state saved.
    """
    base = load_punctuation(config.base) if config.base else None
    if base:
        config = replace(config, **base.sizes)
    train = read_text(texts)
    train, dev = (train, read_text(config.dev)) if config.dev else _divided(train)
    _check_marks(train, texts, "training")
    _check_marks(dev, config.dev or texts, "dev")
    run = PunctuationTraining(train, dev, output, config, base)
    run.run(config.seed, config.checkpoint_minutes)
    weights, scores = run.finish()
    names = {"dev": [path.name for path in config.dev], "base": config.base and config.base.name}
    record = {
        "train": [path.name for path in texts],
        "words": len(train),
        "dev_words": len(dev),
        "dev": scores.values(),
        "settings": to_values(config) | names,
        **({"base": base.training} if base else {}),
        "seconds": round(run.progress.seconds),
        "date": datetime.now(UTC).date().isoformat(),
        "environment": environment(),
    }
    save_punctuation(output, PunctuationFile(weights, config.buckets, record))
    return output


def _divided(text: LabelledText) -> tuple[LabelledText, LabelledText]:
    """A text without its last `DEV_SHARE`, and these words, cut at the end of a sentence if there is one."""
    at, ends = int(len(text) * (1 - DEV_SHARE)), text.sentence_ends
    ends = ends[ends < len(text)]  # of words for dev, there must be some
    if len(ends):
        at = int(ends[min(int(np.searchsorted(ends, at)), len(ends) - 1)])
    return text.split(at)


def _check_marks(text: LabelledText, paths: Sequence[Path], use: str) -> None:
    """Raise `TextError` for a text without the marks whose F1 is measured."""
    if not np.isin(text.marks, MEASURED).any():
        names = ", ".join(map(str, paths))
        lacks = f"no comma, full stop or question mark among the words for {use} ({len(text):,})"
        raise TextError(f"{names}: {lacks}; give more text, with its punctuation")


class Examples:
    """A labelled text as batches of tensors, in the memory of a device."""

    def __init__(self, text: LabelledText, config: PunctuationConfig, device: torch.device):
        self.text, self._config, self._device = text, config, device
        arrays = text.features(config.buckets), text.ids, text.cases, text.marks
        self._features, self._ids, self._cases, self._marks = (torch.from_numpy(each).to(device) for each in arrays)

    def plan(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, counted from 0, as positions of words `(batch, words)`."""
        seed = self._config.seed, epoch
        return plan_batches(self.text.windows(self._config.window, seed), self._config.batch_words, seed)

    def batch(self, positions: np.ndarray) -> LabelBatch:
        """The features and labels of these words."""
        at = torch.from_numpy(positions).to(self._device)
        return LabelBatch(self._features[self._ids[at].long()], self._cases[at].long(), self._marks[at].long())


class PunctuationTraining(TextRun):
    """A run."""

    learner: LabelLearner

    def __init__(
        self,
        train: LabelledText,
        dev: LabelledText,
        output: Path,
        config: PunctuationConfig,
        base: PunctuationFile | None = None,
    ):
        """The network starts with the weights of a `base` whose sizes the options share."""
        torch.manual_seed(config.seed)
        network = PunctuationNetwork(config)
        if base:
            network.load_state_dict({name: torch.from_numpy(array) for name, array in base.weights.items()})
        learner = LabelLearner(network, config, ALONE)
        self.train, self.dev = (Examples(text, config, learner.device) for text in (train, dev))
        self._plan = BatchPlan(self.train.plan)
        length = Length(max(1, round(self._plan.end * config.epochs)), config.minutes)
        super().__init__(output, learner, config, train.digest() + dev.digest(), length)

    def introduction(self) -> Iterator[str]:
        """Lines about the text."""
        text, dev = self.train.text, self.dev.text
        yield (
            f"train {len(text):,} words ({len(text.vocabulary):,} different), dev {len(dev):,}; "
            f"{text.left_out:,} paragraphs with digits left out"
        )

    def batch(self, update: int) -> tuple[LabelBatch, int]:
        """The batch of an update, counted from 0, and its number of words."""
        positions = self._plan[update]
        return self.train.batch(positions), positions.size

    def due(self, updates: int) -> bool:
        """Whether an epoch ends after this number of updates."""
        return updates == self._plan.end

    def measure(self) -> tuple[dict[str, float], str]:
        """The loss and the scores of the dev text."""
        predicted = self._predict()
        scores = predicted.scores()
        return (
            {"dev_loss": predicted.loss, **scores.values()},
            f"dev {predicted.loss:.3f} nats per word, {scores.to_line()}",
        )

    def finish(self) -> tuple[dict[str, np.ndarray], PunctuationScores]:
        """The weights, with the output layer's bias set for F1 on dev, and the scores there."""
        predicted = self._predict()
        offsets = f1_offsets(predicted.mark_scores, predicted.marks)
        with self.learner.measured():
            weights = {name: tensor.cpu().numpy().copy() for name, tensor in self.learner.model.state_dict().items()}
        weights["head.bias"][len(CASES) :] += offsets
        return weights, predicted.scores(offsets)

    @torch.inference_mode()
    def _predict(self) -> Predictions:
        loss, parts = 0.0, []
        with self.learner.measured():
            self.learner.model.eval()
            for positions in self.dev.plan(0):
                batch = self.dev.batch(positions)
                loss += self.learner.loss(batch)[0].item()
                scores = [each.float() for each in self.learner.scores(batch.features)]
                parts.append([each.flatten(0, 1).cpu() for each in (*scores, batch.cases, batch.marks)])
        case_scores, mark_scores, cases, marks = (torch.cat(each).numpy() for each in zip(*parts, strict=True))
        return Predictions(case_scores, mark_scores, cases, marks, loss / len(self.dev.text))
