"""Training of a recurrent language model: text -> model file."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from asr.errors import ConfigError, TrainingError
from asr.lm.config import Kind, LmTrainConfig
from asr.lm.recurrent_file import RecurrentFile, read_recurrent, write_recurrent
from asr.lm.recurrent_network import RecurrentNetwork
from asr.lm.word_stream import WordStream, hold_out, read_stream
from asr.training.config import TrainingConfig
from asr.training.learner import Learner
from asr.training.run_folder import fixed_options
from asr.training.text_run import Length, TextRun
from asr.utils.device import mixed_precision
from asr.utils.distributed import ALONE, own_group

FORGET = 1 / 16  # of the lanes begin anew in each update, as every recording does


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
    """Train by the options, or resume; returns the model file's contents, the weights with the lowest dev perplexity.

    Raises `ConfigError` for options that exclude each other, `LanguageModelError` for unusable text, `TrainingError`
    for a run begun with other options or texts and for a NaN loss, `Interrupted` after Ctrl-C, with the state saved.
    """
    if output.suffix != ".safetensors":
        raise ConfigError(f"{output}: a recurrent model's name must end in .safetensors")
    if own_group().size > 1:
        raise ConfigError("asr lm train: works in one process; start it without torchrun")
    base = read_recurrent(config.recurrent.base) if config.recurrent.base else None
    if base:
        config = _of_base(config, base)
        known = WordStream(list(base.words), np.zeros(0, np.int32))
        stream = replace(known, ids=known.encode(texts, config))
    else:
        stream = read_stream(texts, config)
    run = LmTraining(stream, config, output, base)
    run.run(config.recurrent.seed, config.recurrent.checkpoint_minutes)
    return read_recurrent(output)


class LmTraining(TextRun):
    """A run. The model file is written whenever the perplexity of the dev text is the lowest so far."""

    learner: LmLearner

    def __init__(self, stream: WordStream, config: LmTrainConfig, output: Path, base: RecurrentFile | None = None):
        """The network starts with the weights of a `base` whose words and sizes the stream and options share."""
        self.config, self.options, self.stream = config, config.recurrent, stream
        self.kind = cast(Kind, config.kind)
        self._base = base
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
        self._rows = _lanes(self.train_words, lanes)
        torch.manual_seed(options.seed)
        model = RecurrentNetwork(self.kind, len(stream.words), options)
        if base:
            state = {name: torch.from_numpy(array) for name, array in base.weights.items()}
            model.load_state_dict(state | {"state": model.state})
        learner = LmLearner(model, _training_config(config), options.samples)
        digest = hashlib.sha256(self.train_words.tobytes() + self.dev_words.tobytes()).hexdigest()[:16]
        super().__init__(output, learner, config, digest, Length(options.updates, options.minutes))
        if self.finished and not output.exists():
            raise TrainingError(f"{output}: missing, but its run is finished; delete {self.folder} to train again")

    def introduction(self) -> Iterator[str]:
        """Lines about the text and the network."""
        yield (
            f"text: {len(self.train_words):,} {self.config.unit}, dev {len(self.dev_words):,}; "
            f"vocabulary {len(self.stream.words):,}, {self.stream.unknown_share:.2%} of the text unknown"
        )
        yield f"network: {self.config.kind}, {self.options.layers} x {self.options.units}"

    def batch(self, update: int) -> tuple[Passage, int]:
        """The words of an update: the lanes are read from left to right, again and again."""
        span = self.options.span
        first = (update % ((self._rows.shape[1] - 1) // span)) * span
        part = torch.from_numpy(self._rows[:, first : first + span + 1].T.astype(np.int64))
        forget = torch.rand(self.options.lanes) < FORGET
        return Passage(part[:-1], part[1:], forget if first else torch.ones_like(forget)), part[1:].numel()

    def due(self, updates: int) -> bool:
        """Whether to measure after this number of updates."""
        return updates % self.options.measure == 0

    def measure(self) -> tuple[dict[str, float], str]:
        """The perplexity of the dev text; the model is written if it is the best so far."""
        progress = self.progress
        perplexity = self.learner.perplexity(self.dev_words, self.options.span)
        if not progress.best or perplexity < progress.best[0][0]:
            progress.best = [(perplexity, progress.epoch + 1)]
            self._write(perplexity)
        return {"dev_perplexity": perplexity}, f"{self._read / 1e6:.1f} million words, dev perplexity {perplexity:.1f}"

    @property
    def _read(self) -> int:
        """Words read so far."""
        return self.progress.step * self.options.lanes * self.options.span

    def _write(self, perplexity: float) -> None:
        training = {
            "words": len(self.train_words),
            "read": self._read,
            "dev_words": len(self.dev_words),
            "dev_perplexity": perplexity,
            "update": self.progress.step,
            "options": fixed_options(self.config),
            **({"base": self._base.training} if self._base else {}),
        }
        state = self.learner.model.state_dict()
        weights = {name: tensor.cpu().numpy() for name, tensor in state.items() if name != "state"}
        config = self.config
        contents = RecurrentFile(
            weights, self.kind, tuple(self.stream.words), config.normalizer, config.characters, training
        )
        write_recurrent(self.output, contents)


def _of_base(config: LmTrainConfig, base: RecurrentFile) -> LmTrainConfig:
    """The options with what they share with a base."""
    recurrent = replace(config.recurrent, units=base.units, embedding=base.embedding, layers=base.layers)
    return replace(config, kind=base.kind, normalizer=base.normalizer, characters=base.characters, recurrent=recurrent)


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
