"""Utterances -> batches of features and tokens, planned by seconds of audio and reproducible by seed."""

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import BaseContext

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asr.audio.config import AugmentConfig
from asr.audio.spec_augment import augment_features
from asr.data.feature_cache import CorpusFeatures
from asr.errors import AudioError
from asr.model.padding import pad, plan_in_order
from asr.text.tokenizer import frames_needed
from asr.utils.prefetch import prefetch


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
    durations: Sequence[float], batch_seconds: float, seed: int, epoch: int, short_first: bool = True
) -> list[list[int]]:
    """The batches of one epoch, in a random order that depends on (seed, epoch) only.

    Durations are jittered by 2% before grouping, so that batches differ between epochs while padding stays small. The
    first epoch begins with the largest batch, so that running out of memory shows at once, and then, with
    `short_first`, goes from short to long (SortaGrad, Amodei et al. 2016): an untrained network learns its first
    alignments from short utterances.
    """
    random = np.random.default_rng((seed, epoch))
    jittered = np.asarray(durations) * random.uniform(0.98, 1.02, len(durations))
    batches = plan_in_order(jittered.tolist(), batch_seconds)
    if epoch > 0:
        random.shuffle(batches)
        return batches
    largest = batches.pop(max(range(len(batches)), key=lambda i: len(batches[i]) * jittered[batches[i][0]]))
    batches.reverse()
    if not short_first:
        random.shuffle(batches)
    return [largest, *batches]


def part_of(indices: Sequence[int], number: int, parts: int) -> list[int]:
    """The `number`-th of `parts` parts of a batch, all similar in size and in the lengths of their utterances.

    A part without an utterance of its own repeats the first of the batch, which must not be trained on twice.
    """
    return list(indices[number::parts] or indices[:1])


class BatchDataset(Dataset):
    """Item i is the i-th batch of a plan."""

    def __init__(
        self,
        features: CorpusFeatures,
        tokens: Sequence[Sequence[int]],
        plan: Sequence[Sequence[int]],
        augment: AugmentConfig | None = None,
        seed: int = 0,
        epoch: int = 0,
        phones: Sequence[Sequence[int]] | None = None,
    ):
        self._features, self._tokens, self._plan = features, tokens, plan
        self._phones = phones or [()] * len(tokens)
        self._augment, self._seed, self._epoch = augment, seed, epoch

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, position: int) -> Batch:
        indices = self._plan[position]
        padded = pad([self._augmented(index) for index in indices], self._features.config.hop_seconds)
        features, lengths = map(torch.from_numpy, padded)
        tokens, phones = ([each[index] for index in indices] for each in (self._tokens, self._phones))
        needed = [max(map(frames_needed, rows)) for rows in zip(tokens, phones, strict=True)]
        return Batch(tuple(indices), features, lengths, *_joined(tokens), *_joined(phones), torch.tensor(needed))

    def _augmented(self, index: int) -> np.ndarray:
        features = self._features(self._epoch, index)
        if self._augment is None:
            return features
        # Independent of the random numbers of waveform augmentation.
        random = np.random.default_rng((self._seed, self._epoch, index, 1))
        return augment_features(features, self._augment, self._features.config.hop_seconds, random)


def _joined(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """All rows end to end, and their lengths."""
    return torch.tensor([token for row in rows for token in row], dtype=torch.long), torch.tensor(list(map(len, rows)))


def load_batches(dataset: BatchDataset, workers: int, pin: bool = False) -> Iterator[Batch]:
    """The dataset's batches in order, prefetched by worker processes, or by a thread if `workers` is 0.

    With `pin` they are in pinned memory, for a GPU. Raises `AudioError` naming a recording that cannot be read.
    """
    if workers == 0:
        # A thread suffices to read cached features: NumPy and the network both release the GIL.
        yield from prefetch((dataset[position] for position in range(len(dataset))), 2)
        return
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4,
        worker_init_fn=_ignore_interrupts,
        multiprocessing_context=_clean_processes(),
        pin_memory=pin,
    )
    try:
        yield from loader
    except AudioError as error:
        # From a worker process the message includes its traceback.
        raise AudioError(error.args[0].rsplit("AudioError: ", 1)[-1].strip()) from None


def _clean_processes() -> BaseContext:
    """How workers start: from a process that has computed nothing, never as a copy of this one.

    A copy of a process whose Fourier transforms ran in several threads never returns from its first (MKL's allocator).
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _ignore_interrupts(worker: int) -> None:
    # Ctrl-C reaches every process of the terminal; only the training loop handles it, by a checkpoint.
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
