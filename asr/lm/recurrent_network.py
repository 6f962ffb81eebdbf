"""A recurrent language model in PyTorch, for training: words -> log-probabilities of the next word."""

import functools
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from asr.lm.config import Kind, RecurrentConfig
from asr.model.dropout import Dropout
from asr.utils.device import in_float32

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
FORGET = 1  # place of the forget gate among PyTorch's i, f, g, o
START = 0.1  # word vectors begin within plus and minus this


class RecurrentNetwork(nn.Module):
    """Word vectors, recurrent layers, and an output layer whose matrix is that of the word vectors (Press & Wolf 2017).

    Where a layer has more units than a word vector has values, or fewer, a linear map goes between.

    `state` `(parts, layers, lanes, units)`, the cells' last values (an LSTM has two parts, others one), is a buffer: it
    is kept from one call to the next, and in checkpoints.
    """

    state: Tensor

    def __init__(self, kind: Kind, words: int, config: RecurrentConfig):
        super().__init__()
        size = config.embedding or config.units
        self.embedding = nn.Embedding(words, size)
        self.recurrent = CELLS[kind](
            size, config.units, config.layers, dropout=config.dropout if config.layers > 1 else 0.0
        )
        self.projection = nn.Linear(config.units, size, bias=False) if size != config.units else nn.Identity()
        self.bias = nn.Parameter(torch.zeros(words))
        self.dropout = Dropout(config.dropout)
        nn.init.uniform_(self.embedding.weight, -START, START)
        for name, parameter in self.recurrent.named_parameters():
            if name.startswith("weight_hh"):
                for block in parameter.data.split(config.units):
                    nn.init.orthogonal_(block)
            if name.startswith("bias_ih") and kind == "lstm":
                # Forget gates start open (Jozefowicz et al. 2015).
                parameter.data.split(config.units)[FORGET].fill_(1.0)
        parts = 2 if kind == "lstm" else 1
        self.register_buffer("state", torch.zeros(parts, config.layers, config.lanes, config.units))

    def forward(self, words: Tensor) -> Tensor:
        """Word ids `(span, lanes)` -> outputs `(span, lanes, size of a word vector)`; moves the state on."""
        cells = self.state.detach()
        first = cells[0] if len(cells) == 1 else (cells[0], cells[1])
        outputs, last = in_float32(self.recurrent, self.dropout(self.embedding(words)), first)
        self.state = torch.stack(last if len(cells) > 1 else (last,)).detach().to(self.state.dtype)
        return self.projection(self.dropout(outputs))

    def forget(self, lanes: Tensor | None = None) -> None:
        """Begin anew in all lanes, or in those where `lanes` `(lanes,)` is True."""
        kept = torch.zeros(1) if lanes is None else (~lanes).to(self.state.dtype)[:, None]
        self.state = self.state * kept.to(self.state.device)

    def loss(self, outputs: Tensor, targets: Tensor, samples: int) -> Tensor:
        """Negative log-probability of the target words, in nats, summed.

        With `samples`, against that many others only (sampled softmax, Jean et al. 2015).
        """
        outputs, targets = outputs.flatten(0, 1), targets.flatten()
        words = len(self.embedding.weight)
        if not 0 < samples < words - 1:
            logits = linear(outputs, self.embedding.weight).float() + self.bias
            return cross_entropy(logits, targets, reduction="sum")
        shares, chances = sampling(words, samples)
        drawn = torch.multinomial(shares, samples).to(targets.device)
        bias = self.bias - chances.to(targets.device)
        others = linear(outputs, self.embedding(drawn)).float() + bias[drawn]
        others = others.masked_fill(drawn == targets[:, None], -torch.inf)
        right = (outputs * self.embedding(targets)).sum(dim=1).float() + bias[targets]
        logits = torch.cat([right[:, None], others], dim=1)
        return cross_entropy(logits, torch.zeros_like(targets), reduction="sum")


@functools.cache
def sampling(words: int, samples: int) -> tuple[Tensor, Tensor]:
    """The distribution that `samples` words are drawn from without replacement, and the logarithm of how probable it is
    that each word is among them, `(words,)` each.

    The distribution is log-uniform, which suits ids in the order of frequency. Drawing without replacement is like
    drawing with it until so many different words have been found, after about `tries` draws.
    """
    ids = torch.arange(1, words + 1, dtype=torch.float64)
    shares = torch.log1p(1 / ids) / torch.log(ids[-1] + 1)

    def chances(tries: float) -> Tensor:
        return -torch.expm1(tries * torch.log1p(-shares))

    least, most = float(samples), 1e6 * samples
    for _ in range(60):
        tries = math.sqrt(least * most)
        least, most = (tries, most) if chances(tries).sum() < samples else (least, tries)
    return shares.float(), torch.log(chances(least)).float()
