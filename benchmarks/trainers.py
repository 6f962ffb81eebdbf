"""The training loops that `training.py` compares, with one interface, each in its own process.

All train the same network (a convolution with a stride of four frames, a BiLSTM and a linear layer) on the same
recordings and tokens. Each reads, augments and batches in its own way.
"""

import contextlib
import importlib.util
import itertools
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch
from terminal import log
from torch import Tensor, nn

from asr.config import Recipe
from asr.data.batching import plan_epoch
from asr.data.dataset import load_corpora
from asr.data.feature_cache import CorpusFeatures
from asr.errors import Interrupted
from asr.model.acoustic_model import AcousticModel
from asr.model.encoders import Span
from asr.model.padding import pad
from asr.training.run_folder import RunFolder
from asr.training.trainer import Trainer
from asr.utils.device import choose_precision, keep_memory
from asr.utils.distributed import Group

CPU = torch.device("cpu")
EPOCH = 1  # of the measured batches: our epoch 0 goes from short to long
BUCKETS = 20  # of SpeechBrain's sampler: the number from 10 to 200 that filled its batches best


@dataclass(frozen=True)
class Round:
    """One trainer's result in one round."""

    audio_seconds: float  # seconds of recordings, without padding
    seconds: float  # processor seconds of all threads
    loss: float  # of the last batch, in the trainer's own unit


class BatchCycle:
    """Batches of one epoch, taken in order, starting over when too little is left."""

    def __init__(self, batches: Sequence[Sequence[int]], durations: Sequence[float]):
        self.batches, self.start, self._next = batches, 0, 0
        self._seconds = [sum(durations[index] for index in batch) for batch in batches]

    def take(self, seconds: float) -> tuple[list[Sequence[int]], float]:
        """The next batches with at least `seconds` of recordings, or the whole epoch, and their seconds."""
        if sum(self._seconds[self._next :]) < seconds:
            self._next = 0
        self.start = self._next
        totals = list(itertools.accumulate(self._seconds[self.start :]))
        count = next((number for number, total in enumerate(totals, 1) if total >= seconds), len(totals))
        self._next += count
        return list(self.batches[self.start : self._next]), totals[count - 1]


class Asr:
    """This project's loop, as `asr train` runs it: features cached on disk, masks and frequency stretch per batch."""

    needs = ()

    def __init__(self, recipe: Recipe):
        prepare()
        corpora = load_corpora(recipe)
        folder, training = RunFolder(recipe), recipe.training
        features = CorpusFeatures(
            corpora[0].utterances, recipe.features, recipe.augment, training.seed, training.epochs
        )
        start = time.process_time()
        features.cache(folder.features, training.cache_gigabytes, log)
        hours = corpora[0].hours * min(recipe.augment.copies, training.epochs)
        self.feature_cost = (time.process_time() - start) / (3600 * hours)
        self.trainer = Trainer(recipe, folder, *corpora, Group())
        self._running = contextlib.ExitStack()
        self._running.enter_context(self.trainer.started())  # which finds the features
        self.parameters = self.trainer.model.parameter_count()
        self.batches = BatchCycle(our_plan(recipe, features), corpora[0].durations)

    def train(self, seconds: float) -> tuple[float, float]:
        """Train on at least `seconds` of recordings; returns their seconds, and the loss."""
        batches, audio_seconds = self.batches.take(seconds)
        progress = self.trainer.progress
        progress.begin_epoch(EPOCH)
        progress.batch = self.batches.start
        calls = itertools.count(1)
        # The loop asks before each step whether to stop, and then writes a checkpoint, as real runs do now and then.
        with contextlib.suppress(Interrupted):
            self.trainer.run(lambda: next(calls) == len(batches))
        return audio_seconds, progress.loss_sum / progress.token_count


class LstmAlone:
    """Nothing but the LSTM layers of our network, forward and backward, on noise in the shapes of our batches."""

    needs = ()
    feature_cost = 0.0

    def __init__(self, recipe: Recipe):
        prepare()
        corpus, _, tokenizer = load_corpora(recipe)
        features = CorpusFeatures(
            corpus.utterances, recipe.features, recipe.augment, recipe.training.seed, recipe.training.epochs
        )
        self.recipe, self.durations = recipe, features.durations(EPOCH)
        self.batches = BatchCycle(our_plan(recipe, features), corpus.durations)
        self.model = AcousticModel(recipe.model, recipe.features.mels, len(tokenizer.pieces))
        self.layers = self.model.layers
        self.parameters = sum(parameter.numel() for parameter in self.layers.parameters())
        self.dtype, _ = choose_precision(recipe.training.precision, CPU)
        self.noise = torch.zeros(0, dtype=self.dtype)

    def train(self, seconds: float) -> tuple[float, float]:
        """Run on at least `seconds` of recordings; returns their seconds, and 0 for the loss."""
        batches, audio_seconds = self.batches.take(seconds)
        for batch in batches:
            self._pass(Span(*self._lengths(batch)))
        return audio_seconds, 0.0

    def _lengths(self, batch: Sequence[int]) -> tuple[Tensor, int]:
        """Output frames of each utterance, and of the batch with its padding."""
        hop = self.recipe.features.hop_seconds
        frames = [torch.empty(1 + int(self.durations[index] / hop), 0) for index in batch]
        padded, lengths = map(torch.from_numpy, pad(frames, hop))
        return self.model.output_lengths(lengths), int(self.model.output_lengths(torch.tensor(padded.shape[1])))

    def _pass(self, span: Span) -> None:
        shape = (len(span.lengths), span.frames, self.model.subsampling.features)
        size = shape[0] * shape[1] * shape[2]
        if len(self.noise) < size:
            self.noise = torch.randn(size, dtype=self.dtype)
        x = self.noise[:size].view(shape).detach().requires_grad_()
        self.layers.zero_grad(set_to_none=True)
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            for layer in self.layers:
                x = layer(x, span)
        x.backward(torch.ones_like(x))


class SpeechBrain:
    """SpeechBrain (Ravanelli et al. 2021), put together as its LibriSpeech CTC recipes are: `DynamicItemDataset`,
    speed perturbation, `DynamicBatchSampler`, `Fbank`, `InputNormalization`, `SpectrogramDrop`, the convolutional front
    end, `Brain` with its precision, AdamW; but with its LSTM where those have a conformer."""

    needs = ("speechbrain",)
    feature_cost = 0.0

    def __init__(self, recipe: Recipe):
        import logging

        logging.disable(logging.INFO)
        from speechbrain.dataio.dataset import DynamicItemDataset
        from speechbrain.dataio.sampler import DynamicBatchSampler

        corpus, _, tokenizer = load_corpora(recipe)
        items = {
            utterance.id: {"wav": str(utterance.audio_filepath), "duration": utterance.duration, "indices": tokens}
            for utterance, tokens in zip(corpus.utterances, corpus.tokens, strict=True)
        }
        self.dataset = DynamicItemDataset(items)
        self._add_pipelines(recipe)
        sampler = DynamicBatchSampler(self.dataset, recipe.training.batch_seconds, num_buckets=BUCKETS, shuffle=True)
        self.batches = BatchCycle(list(sampler), corpus.durations)
        self.brain = speechbrain_brain(recipe, len(tokenizer.pieces))
        self.parameters = sum(parameter.numel() for parameter in self.brain.modules.parameters())

    def _add_pipelines(self, recipe: Recipe) -> None:
        from speechbrain.augment.time_domain import SpeedPerturb
        from speechbrain.dataio.dataio import read_audio

        percents = [round(100 * speed) for speed in recipe.augment.speeds]
        perturb = SpeedPerturb(recipe.features.sample_rate, percents)
        # As in the recipes, here and not on the batch.
        self.dataset.add_dynamic_item(lambda wav: perturb(read_audio(wav).unsqueeze(0)).squeeze(0), "wav", "sig")
        self.dataset.add_dynamic_item(torch.LongTensor, "indices", "tokens")
        self.dataset.set_output_keys(["id", "sig", "tokens"])

    def train(self, seconds: float) -> tuple[float, float]:
        """Train on at least `seconds` of recordings; returns their seconds, and the loss."""
        from speechbrain.dataio.batch import PaddedBatch
        from speechbrain.dataio.dataloader import SaveableDataLoader

        batches, audio_seconds = self.batches.take(seconds)
        loader = SaveableDataLoader(self.dataset, batch_sampler=batches, collate_fn=PaddedBatch)
        self.brain.fit(range(1), loader, progressbar=False)
        return audio_seconds, self.brain.last_loss


def speechbrain_brain(recipe: Recipe, tokens: int):
    """SpeechBrain's `Brain` with our network's sizes."""
    from speechbrain.augment.augmenter import Augmenter
    from speechbrain.augment.freq_domain import SpectrogramDrop
    from speechbrain.core import Brain
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
    from speechbrain.nnet.linear import Linear
    from speechbrain.nnet.losses import ctc_loss
    from speechbrain.nnet.RNN import LSTM
    from speechbrain.processing.features import InputNormalization

    class CtcBrain(Brain):
        """Signals -> log-probabilities; CTC loss."""

        def compute_forward(self, batch, stage):
            signals, lengths = batch.to(self.device).sig
            features = self.modules.normalize(self.hparams.features(signals), lengths, epoch=EPOCH)
            features, lengths = self.hparams.augment(features, lengths)
            x, _ = self.modules.lstm(self.modules.front(features))
            return torch.log_softmax(self.modules.head(x), dim=-1), lengths

        def compute_objectives(self, predictions, batch, stage):
            output, lengths = predictions
            return ctc_loss(output, batch.tokens.data, lengths, batch.tokens.lengths, 0, reduction="batchmean")

        def on_fit_batch_end(self, batch, outputs, loss, should_step):
            self.last_loss = loss.item()

    model, features, augment = recipe.model, recipe.features, recipe.augment
    longest = max(1, round(augment.time_mask_seconds / features.hop_seconds))
    masks = [
        SpectrogramDrop(1, longest, 1, max(1, augment.time_masks), dim=1),
        SpectrogramDrop(1, augment.frequency_mask_mels, 1, max(1, augment.frequency_masks), dim=2),
    ]
    front = ConvolutionFrontEnd(
        (8, 10, features.mels), 2, 1, (model.channels,) * 2, (3, 3), (2, 2), residuals=(False, False)
    )
    size = 2 * model.width
    modules = {
        "normalize": InputNormalization(norm_type="global"),
        "front": front,
        "lstm": LSTM(
            model.width,
            input_shape=(None, None, features.mels // 4, model.channels),
            num_layers=model.layers,
            dropout=model.dropout,
            bidirectional=True,
        ),
        "head": Linear(tokens, input_size=size),
    }
    hparams = {
        "features": Fbank(sample_rate=features.sample_rate, n_fft=512, n_mels=features.mels, win_length=25),
        "augment": Augmenter(min_augmentations=2, max_augmentations=2, augmentations=masks),
    }
    dtype, _ = choose_precision(recipe.training.precision, CPU)
    run = {"device": "cpu", "precision": "bf16" if dtype == torch.bfloat16 else "fp32"}
    return CtcBrain(modules, lambda parameters: torch.optim.AdamW(parameters, lr=1e-3), hparams, run)


class Torchaudio:
    """The loop of torchaudio's tutorials: a fixed number of random utterances per batch, decoded each time,
    `MelSpectrogram` and masks in the collate function, `nn.LSTM` over the padded batch, Adam, float32."""

    needs = ("torchaudio",)
    feature_cost = 0.0

    def __init__(self, recipe: Recipe):
        from torchaudio.transforms import FrequencyMasking, MelSpectrogram, TimeMasking

        features, augment, model = recipe.features, recipe.augment, recipe.model
        self.corpus, _, tokenizer = load_corpora(recipe)
        mean = sum(self.corpus.durations) / len(self.corpus.durations)
        size = max(1, round(recipe.training.batch_seconds / mean))
        self.batches = BatchCycle(torch.randperm(len(self.corpus.durations)).split(size), self.corpus.durations)
        rate = features.sample_rate
        hop, window = round(features.hop_seconds * rate), round(features.window_seconds * rate)
        self.mel = MelSpectrogram(rate, n_fft=512, win_length=window, hop_length=hop, n_mels=features.mels)
        masks = [TimeMasking(round(augment.time_mask_seconds / features.hop_seconds))] * augment.time_masks
        self.masks = nn.Sequential(*masks, *[FrequencyMasking(augment.frequency_mask_mels)] * augment.frequency_masks)
        self.network = TutorialNetwork(features.mels, model.channels, model.width, model.layers, len(tokenizer.pieces))
        self.optimizer, self.loss = torch.optim.Adam(self.network.parameters(), lr=1e-3), nn.CTCLoss()
        self.parameters = sum(parameter.numel() for parameter in self.network.parameters())

    def train(self, seconds: float) -> tuple[float, float]:
        """Train on at least `seconds` of recordings; returns their seconds, and the loss."""
        batches, audio_seconds = self.batches.take(seconds)
        rows = [batch.tolist() for batch in batches]
        loader = torch.utils.data.DataLoader(range(len(self.corpus.texts)), batch_sampler=rows, collate_fn=self._load)
        self.network.train()
        for features, lengths, tokens, token_lengths in loader:
            self.optimizer.zero_grad()
            output = torch.log_softmax(self.network(features), dim=2)
            loss = self.loss(output.transpose(0, 1), tokens, (lengths + 3) // 4, token_lengths)
            loss.backward()
            self.optimizer.step()
        return audio_seconds, loss.item()

    def _load(self, indices: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        import soundfile  # torchaudio.load needs torchcodec

        features = []
        for index in indices:
            samples, _ = soundfile.read(self.corpus.utterances[index].audio_filepath, dtype="float32")
            features.append(self.masks(self.mel(torch.from_numpy(samples))).clamp_min(1e-10).log().T)
        tokens = [torch.tensor(self.corpus.tokens[index]) for index in indices]
        pad_sequence = nn.utils.rnn.pad_sequence
        lengths = [torch.tensor([len(row) for row in rows]) for rows in (features, tokens)]
        return pad_sequence(features, batch_first=True), lengths[0], pad_sequence(tokens, batch_first=True), lengths[1]


class TutorialNetwork(nn.Module):
    """`(batch, frames, mels)` -> `(batch, ceil(frames / 4), tokens)`, written without optimisations."""

    def __init__(self, mels: int, channels: int, width: int, layers: int, tokens: int):
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv2d(1, channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        size = channels * -(-mels // 4)
        self.lstm = nn.LSTM(size, width, layers, batch_first=True, dropout=0.2, bidirectional=True)
        self.head = nn.Linear(2 * width, tokens)

    def forward(self, features: Tensor) -> Tensor:
        x = self.front(features.unsqueeze(1)).transpose(1, 2).flatten(2)
        return self.head(self.lstm(x)[0])


OURS, CEILING = "asr", "LSTM alone"
KINDS = {OURS: Asr, "speechbrain": SpeechBrain, "torchaudio": Torchaudio, CEILING: LstmAlone}


def prepare() -> None:
    """Set up the process as `asr train` does."""
    torch.set_flush_denormal(True)
    keep_memory()


def our_plan(recipe: Recipe, features: CorpusFeatures) -> list[list[int]]:
    """The batches of our `EPOCH`."""
    training = recipe.training
    return plan_epoch(features.durations(EPOCH), training.batch_seconds, training.seed, EPOCH)


def missing(kind: str) -> list[str]:
    """Modules that a trainer needs but that are not installed."""
    return [name for name in KINDS[kind].needs if importlib.util.find_spec(name) is None]


class Worker:
    """A trainer in its own process, with one thread."""

    def __init__(self, kind: str, recipe: Recipe):
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, _begin, (kind, recipe))
        self.parameters, self.feature_cost = self._pool.submit(_facts).result()

    def train(self, seconds: float) -> Round:
        """Train on at least `seconds` of recordings."""
        return self._pool.submit(_train, seconds).result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()


def _begin(kind: str, recipe: Recipe) -> None:
    global trainer
    torch.set_num_threads(1)
    torch.manual_seed(recipe.training.seed)
    trainer = KINDS[kind](recipe)


def _facts() -> tuple[int, float]:
    return trainer.parameters, trainer.feature_cost


def _train(seconds: float) -> Round:
    start = time.process_time()
    audio_seconds, loss = trainer.train(seconds)
    return Round(audio_seconds, time.process_time() - start, loss)
