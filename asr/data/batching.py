"""Utterances -> batches of features and tokens, planned by seconds of audio and reproducible by seed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asr.audio.config import AugmentConfig
from asr.audio.spec_augment import augment_features
from asr.data.feature_cache import CorpusFeatures
from asr.data.utterances import Utterance
from asr.errors import AudioError
from asr.model.padding import Plan, pad, plan_in_order
from asr.text.tokenizer import frames_needed
from asr.utils.prefetch import prefetch
from asr.utils.worker_processes import clean_processes, ignore_interrupts


@dataclass(frozen=True)
class Batch:
    """Padded features and tokens of some utterances."""

    utterances: tuple[int, ...]  # positions in the list that the plan was made from
    features: Tensor  # (batch, frames, mels) float32, zeros after each utterance's end
    lengths: Tensor  # (batch,) frames of each utterance
    tokens: Tensor  # (sum of token counts,) the references end to end, as torch's CTC loss takes them
    token_lengths: Tensor  # (batch,)
    phones: Tensor  # (sum of phone counts,) likewise; empty without a phone layer
    phone_lengths: Tensor  # (batch,)
    frames_needed: Tensor  # (batch,) fewest output frames in which CTC can emit each reference, and its phones

    def tensors(self) -> dict[str, Tensor]:
        """All but the positions, by name."""
        return {name: value for name, value in vars(self).items() if name != "utterances"}

    def pin_memory(self) -> "Batch":
        """A copy in pinned memory, from which copies to a GPU are asynchronous."""
        return Batch(self.utterances, **{name: tensor.pin_memory() for name, tensor in self.tensors().items()})


def plan_epoch(
    durations: Sequence[float] | np.ndarray,
    batch_seconds: float,
    seed: int,
    epoch: int,
    short_first: bool = True,
    shards: np.ndarray | None = None,
    shuffled_shards: int = 1,
) -> Plan:
    """The batches of one epoch, in a random order that depends on (seed, epoch) only.

    With `shards`, the number of the shard that holds each utterance, shards come in a random order, and batches are
    planned and shuffled within `shuffled_shards` of them at a time, among which reading stays until the next begin.

    Durations are jittered by 2% before grouping, so that batches differ between epochs while padding stays small. The
    first epoch begins with the largest batch, so that running out of memory shows at once, and then, with
    `short_first`, goes from short to long (SortaGrad, Amodei et al. 2016): an untrained network learns its first
    alignments from short utterances.
    """
    random = np.random.default_rng((seed, epoch))
    jittered = np.asarray(durations) * random.uniform(0.98, 1.02, len(durations))
    if shards is None:
        return _shuffled(plan_in_order(jittered, batch_seconds), jittered, random, epoch == 0, short_first)
    plans: list[Plan] = []
    for window in _windows(shards, shuffled_shards, random):
        plan = plan_in_order(jittered[window], batch_seconds).of(window)
        plans.append(_shuffled(plan, jittered, random, epoch == 0 and not plans, short_first))
    return Plan.joined(plans)


def _shuffled(
    plan: Plan, durations: np.ndarray, random: np.random.Generator, begins_run: bool, short_first: bool
) -> Plan:
    batches = list(range(len(plan)))  # a list, for which NumPy draws other numbers than for an array
    if not begins_run:
        random.shuffle(batches)
        return plan.reordered(batches)
    largest = batches.pop(int(np.argmax(plan.sizes * durations[plan.firsts])))
    batches.reverse()
    if not short_first:
        random.shuffle(batches)
    return plan.reordered([largest, *batches])


def _windows(shards: np.ndarray, size: int, random: np.random.Generator) -> list[np.ndarray]:
    """The positions of the utterances of `size` shards at a time, the shards in random order."""
    by_shard = np.argsort(shards, kind="stable")
    numbers, starts = np.unique(shards[by_shard], return_index=True)
    of_shard = np.split(by_shard, starts[1:])
    order = random.permutation(len(numbers)).tolist()
    chosen = (order[start : start + size] for start in range(0, len(order), size))
    return [np.concatenate([of_shard[number] for number in window]) for window in chosen]


def part_of(indices: Sequence[int], number: int, parts: int) -> list[int]:
    """The `number`-th of `parts` parts of a batch, all similar in size and in the lengths of their utterances.

    A part without an utterance of its own repeats the first of the batch, which must not be trained on twice.
    """
    return list(indices[number::parts] or indices[:1])


@dataclass(frozen=True)
class Job:
    """The utterances of a batch with their references: all that a worker process needs to know of the corpus."""

    positions: list[int]
    utterances: list[Utterance]
    tokens: list[list[int]]
    phones: list[list[int]]


class BatchMaker(Dataset):
    """Makes the batches of an epoch; item `job` is the batch of that job."""

    def __init__(self, features: CorpusFeatures, augment: AugmentConfig | None = None, seed: int = 0, epoch: int = 0):
        self._features, self._augment, self._seed, self._epoch = features, augment, seed, epoch

    def __getitem__(self, job: Job) -> Batch:
        rows = [self._augmented(*row) for row in zip(job.utterances, job.positions, strict=True)]
        padded = pad(rows, self._features.config.hop_seconds)
        features, lengths = map(torch.from_numpy, padded)
        needed = [max(map(frames_needed, rows)) for rows in zip(job.tokens, job.phones, strict=True)]
        references = *_joined(job.tokens), *_joined(job.phones)
        return Batch(tuple(job.positions), features, lengths, *references, torch.tensor(needed))

    def _augmented(self, utterance: Utterance, index: int) -> np.ndarray:
        features = self._features.of(utterance, self._epoch, index)
        if self._augment is None:
            return features
        # Independent of the random numbers of waveform augmentation.
        random = np.random.default_rng((self._seed, self._epoch, index, 1))
        return augment_features(features, self._augment, self._features.config.hop_seconds, random)


def _joined(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """All rows end to end, and their lengths."""
    return torch.tensor([token for row in rows for token in row], dtype=torch.long), torch.tensor(list(map(len, rows)))


def load_batches(maker: BatchMaker, jobs: Iterable[Job], workers: int, pin: bool = False) -> Iterator[Batch]:
    """The batches of these jobs in order, prefetched by worker processes, or by a thread if `workers` is 0.

    With `pin` they are in pinned memory, for a GPU. Raises `AudioError` naming a recording that cannot be read.
    """
    if workers == 0:
        # A thread suffices to read cached features: NumPy and the network both release the GIL.
        yield from prefetch((maker[job] for job in jobs), 2)
        return
    loader = DataLoader(
        maker,
        sampler=jobs,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4,
        worker_init_fn=ignore_interrupts,
        multiprocessing_context=clean_processes(),
        pin_memory=pin,
    )
    try:
        yield from loader
    except AudioError as error:
        # From a worker process the message includes its traceback.
        raise AudioError(error.args[0].rsplit("AudioError: ", 1)[-1].strip()) from None
