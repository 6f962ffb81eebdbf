"""The dev corpus, decoded greedily after each epoch: error rates, blank rate and the tokens' priors."""

from collections.abc import Iterable
from dataclasses import dataclass

import jiwer
import numpy as np
import torch

from asr.data.batching import BatchMaker, load_batches
from asr.data.dataset import Corpus
from asr.data.feature_cache import CorpusFeatures
from asr.decoding.greedy import blank_rate, greedy
from asr.model.acoustic_model import AcousticModel
from asr.model.padding import plan_in_order
from asr.text.normalizer import is_unspaced
from asr.text.phones import phone_of
from asr.text.tokenizer import Tokenizer
from asr.utils.distributed import Group

LEAST_PRIOR = 1e-4  # floor for tokens that hardly occur in dev


@dataclass(frozen=True)
class DevResult:
    """Rates are fractions."""

    wer: float
    cer: float
    per: float | None  # phone error rate; None without phones
    blank_rate: float  # share of output frames whose most probable token is the blank
    hypotheses: list[str]
    priors: tuple[float, ...]  # mean posterior of each token, then each phone, over all output frames
    unspaced: bool = False  # whether the references are in a script without spaces

    @property
    def error(self) -> float:
        """The rate by which models are chosen: PER with phones, from which words are decoded; else WER, or CER where a
        sentence counts as one word."""
        if self.per is not None:
            return self.per
        return self.cer if self.unspaced else self.wer


class DevSet:
    """The dev corpus in batches, shared among the processes of the run."""

    def __init__(
        self, corpus: Corpus, tokenizer: Tokenizer, features: CorpusFeatures, batch_seconds: float, group: Group
    ):
        self.corpus, self.features = corpus, features
        self._tokenizer, self._group = tokenizer, group
        self._plan = plan_in_order(corpus.durations, batch_seconds)[group.rank :: group.size]

    @torch.inference_mode()
    def measure(self, model: AcousticModel, workers: int) -> DevResult:
        """Decode the corpus; leaves the model in evaluation mode."""
        model.eval()
        device, tokens = model.head.weight.device, len(self._tokenizer.pieces)
        blanks, frames, hypotheses, phones = 0, 0, {}, {}
        posteriors = np.zeros(tokens + len(self.corpus.phone_pieces))
        for batch in load_batches(BatchMaker(self.features), map(self.corpus.job, self._plan), workers):
            output, lengths = model(batch.features.to(device), batch.lengths.to(device))
            output, lengths = output.cpu().numpy(), lengths.cpu().numpy()
            for row, length in zip(output, lengths, strict=True):
                posteriors += np.exp(row[:length]).sum(axis=0, dtype=np.float64)
            of_tokens, of_phones = np.split(output, [tokens], axis=-1)
            texts = [self._tokenizer.decode(row.indices) for row in greedy(of_tokens, lengths)]
            hypotheses |= zip(batch.utterances, texts, strict=True)
            if self.corpus.phones:
                rows = [self._phones(row.indices) for row in greedy(of_phones, lengths)]
                phones |= zip(batch.utterances, rows, strict=True)
            counts = blank_rate(of_tokens, lengths)
            blanks, frames = blanks + counts[0], frames + counts[1]
        hypotheses, phones = self._group.merge(hypotheses), self._group.merge(phones)
        blanks, frames, *posteriors = self._group.sum([blanks, frames, *posteriors])
        references = list(self.corpus.texts)
        ordered = [hypotheses[index] for index in range(len(references))]
        return DevResult(
            jiwer.wer(references, ordered),
            jiwer.cer(references, ordered),
            self._phone_error_rate(phones),
            blanks / frames,
            ordered,
            tuple(max(LEAST_PRIOR, posterior / frames) for posterior in posteriors),
            is_unspaced(self.corpus.texts),
        )

    def _phone_error_rate(self, found: dict[int, str]) -> float | None:
        if not self.corpus.phones:
            return None
        references = [self._phones(row) for row in self.corpus.phones]
        return jiwer.wer(references, [found[index] for index in range(len(references))])

    def _phones(self, indices: Iterable[int]) -> str:
        """Phones without context, as words."""
        return " ".join(phone_of(self.corpus.phone_pieces[index]) for index in indices)
