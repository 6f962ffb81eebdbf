"""The training corpus in batches, and each batch in the parts that this process computes."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from asr.config import Recipe
from asr.data.batching import BatchMaker, load_batches, part_of, plan_epoch
from asr.data.dataset import Corpus
from asr.data.feature_cache import CorpusFeatures
from asr.model.padding import Plan
from asr.training.learner import Part
from asr.utils.distributed import Group


@dataclass(frozen=True)
class PlannedBatch:
    """A batch of the whole run and this process's parts of it."""

    utterances: list[int]  # positions in the corpus
    parts: list[Part]
    tokens: int
    seconds: float  # of audio


class TrainingSet:
    """The training corpus with its features and the plan of each epoch."""

    def __init__(self, corpus: Corpus, recipe: Recipe, group: Group):
        config = recipe.training
        assert config.epochs and config.batch_seconds, "`with_length` chooses them"
        self.corpus, self._recipe, self._config, self._group = corpus, recipe, config, group
        self._epochs, self._batch_seconds = config.epochs, config.batch_seconds
        self.features = CorpusFeatures(corpus.utterances, recipe.features, recipe.augment, config.seed, config.epochs)

    @property
    def total_steps(self) -> int:
        """Batches in all epochs."""
        return sum(len(self.plan(epoch)) for epoch in range(self._epochs))

    def plan(self, epoch: int) -> Plan:
        """The utterances of each batch of an epoch, counted from 0."""
        durations, config = self.features.durations(epoch), self._config
        short_first, shards = config.warm_start is None, self.corpus.utterances.shards
        shuffled = self._recipe.data.shuffle_shards
        return plan_epoch(durations, self._batch_seconds, config.seed, epoch, short_first, shards, shuffled)

    def batches(self, epoch: int, first: int, workers: int, pin: bool) -> Iterator[PlannedBatch]:
        """The batches of an epoch from the `first` on; pinned memory (`pin`) is for a GPU."""
        plan, durations = self.plan(epoch)[first:], self.features.durations(epoch)
        rounds = range(self._config.accumulate)
        jobs = (self.corpus.job(self._share(utterances, number)) for utterances in plan for number in rounds)
        loaded = load_batches(self._maker(epoch), jobs, workers, pin)
        for utterances in plan:
            parts = [
                Part(batch, counts=self._position(number) < len(utterances))
                for number, batch in zip(rounds, itertools.islice(loaded, len(rounds)), strict=True)
            ]
            tokens = sum(len(self.corpus.tokens[index]) for index in utterances)
            yield PlannedBatch(utterances, parts, tokens, sum(durations[utterances].tolist()))

    def tensors(self, epoch: int, utterances: list[int]) -> dict[str, Tensor]:
        """The network's inputs and targets for these utterances."""
        return self._maker(epoch)[self.corpus.job(utterances)].tensors()

    def _share(self, utterances: list[int], number: int) -> list[int]:
        """This process's utterances of a batch in its `number`-th round of gradient accumulation."""
        return part_of(utterances, self._position(number), self._group.size * self._config.accumulate)

    def _position(self, number: int) -> int:
        return number * self._group.size + self._group.rank

    def _maker(self, epoch: int) -> BatchMaker:
        return BatchMaker(self.features, self._recipe.augment, self._config.seed, epoch)
