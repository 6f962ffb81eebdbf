"""Utterances -> batches of features and tokens: planned by seconds of audio, the same for the same seed."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asr.audio import Audio, load_audio
from asr.config import AugmentConfig
from asr.errors import AudioError
from asr.features import LogMel, augment_features
from asr.manifest import Utterance

# Seconds. Batches are padded to multiples of this, so that few shapes occur: libraries that compile their kernels
# for each shape (oneDNN's LSTM) otherwise spend half the time of short utterances on that.
GRID_SECONDS = 0.32


@dataclass(frozen=True)
class Batch:
    """Padded features and tokens of some utterances."""

    utterances: tuple[int, ...]  # positions in the list that the plan was made from
    features: Tensor  # (batch, frames, mels) float32, zeros after each utterance's end
    lengths: Tensor  # (batch,) frames of each utterance
    tokens: Tensor  # (sum of token counts,) the references end to end, as torch's CTC loss takes them
    token_lengths: Tensor  # (batch,)


def load_utterance(utterance: Utterance, sample_rate: int) -> Audio:
    """The utterance's audio: its part of the recording, or all of it."""
    if utterance.offset is None:
        return load_audio(utterance.audio_filepath, sample_rate)
    return load_audio(utterance.audio_filepath, sample_rate, utterance.offset, utterance.duration)


def pad(features: Sequence[Tensor], hop_seconds: float) -> tuple[Tensor, Tensor]:
    """`(frames, mels)` of several utterances -> `(batch, frames, mels)` with zeros behind, and `(batch,)` lengths."""
    lengths = torch.tensor([len(frames) for frames in features])
    grid = max(1, round(GRID_SECONDS / hop_seconds))
    frames = -(-int(lengths.max()) // grid) * grid
    padded = features[0].new_zeros(len(features), frames, features[0].shape[1])
    for row, utterance in zip(padded, features, strict=True):
        row[: len(utterance)] = utterance
    return padded, lengths


def plan_in_order(durations: Sequence[float], batch_seconds: float) -> list[list[int]]:
    """Positions grouped by duration, longest first, so that no batch exceeds `batch_seconds`, padding included.

    An utterance longer than that is a batch of its own.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(durations)), key=lambda index: -durations[index]):
        if batches and (len(batches[-1]) + 1) * _on_grid(durations[batches[-1][0]]) <= batch_seconds:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _on_grid(seconds: float) -> float:
    # One frame more than the samples fill: frames are centred, so the last one begins where the sound ends.
    return math.ceil((seconds + 0.01) / GRID_SECONDS) * GRID_SECONDS


def plan_epoch(durations: Sequence[float], batch_seconds: float, seed: int, epoch: int) -> list[list[int]]:
    """The batches of one epoch, in a random order that follows from (seed, epoch) alone.

    Durations are jittered by 5% before grouping, so that utterances meet other ones in each epoch while padding
    stays small. The first epoch goes from short to long instead (SortaGrad, Amodei et al. 2016): a network that knows
    nothing learns its first alignments from short utterances.
    """
    random = np.random.default_rng((seed, epoch))
    jittered = np.asarray(durations) * random.uniform(0.95, 1.05, len(durations))
    batches = plan_in_order(jittered.tolist(), batch_seconds)
    if epoch == 0:
        return batches[::-1]
    random.shuffle(batches)
    return batches


class Features:
    """Log-mel features of utterances by position: kept in memory when they fit there, else made anew each time."""

    def __init__(self, utterances: Sequence[Utterance], log_mel: LogMel, memory_gigabytes: float = 0.0):
        self._utterances, self._log_mel = utterances, log_mel
        self.hop_seconds = log_mel.config.hop_seconds
        frames = sum(utterance.duration for utterance in utterances) / self.hop_seconds
        self.kept: list[Tensor] | None = None
        if frames * log_mel.config.mels * 4 <= memory_gigabytes * 1e9:
            # Threads suffice: decoding and Fourier transforms run outside the interpreter's lock.
            pool = ThreadPoolExecutor()
            try:
                self.kept = list(pool.map(self._make, range(len(utterances))))
            finally:
                pool.shutdown(cancel_futures=True)  # Ctrl-C and a damaged file must not wait for the rest

    def __getitem__(self, index: int) -> Tensor:
        return self._make(index) if self.kept is None else self.kept[index]

    def _make(self, index: int) -> Tensor:
        audio = load_utterance(self._utterances[index], self._log_mel.config.sample_rate)
        return self._log_mel(torch.from_numpy(audio.samples))


class BatchDataset(Dataset):
    """Item i is the i-th batch of a plan."""

    def __init__(
        self,
        features: Features,
        tokens: Sequence[Sequence[int]],
        plan: Sequence[Sequence[int]],
        augment: AugmentConfig | None = None,
        seed: int = 0,
        epoch: int = 0,
    ):
        self._features, self._tokens, self._plan = features, tokens, plan
        self._augment, self._seed, self._epoch = augment, seed, epoch

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, position: int) -> Batch:
        indices = self._plan[position]
        features, lengths = pad([self._augmented(index) for index in indices], self._features.hop_seconds)
        tokens = [self._tokens[index] for index in indices]
        return Batch(
            tuple(indices),
            features,
            lengths,
            torch.tensor([token for row in tokens for token in row], dtype=torch.long),
            torch.tensor([len(row) for row in tokens]),
        )

    def _augmented(self, index: int) -> Tensor:
        if self._augment is None:
            return self._features[index]
        random = np.random.default_rng((self._seed, self._epoch, index))
        return augment_features(self._features[index], self._augment, self._features.hop_seconds, random)


def load_batches(dataset: BatchDataset, workers: int) -> Iterator[Batch]:
    """The dataset's batches in order, made ahead of time by worker processes (none: made when asked for).

    Raises `AudioError` naming the recording that cannot be read.
    """
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_ignore_interrupts,
        # A generator of its own: the loader's seed must not be drawn from the stream that dropout uses.
        generator=torch.Generator(),
    )
    try:
        yield from loader
    except AudioError as error:
        # From a worker process it comes with that process's traceback around it.
        raise AudioError(str(error).rsplit("AudioError: ", 1)[-1].strip()) from None


def _ignore_interrupts(worker: int) -> None:
    # Ctrl-C reaches every process of the terminal; only the training loop may answer it, with a checkpoint.
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
