"""The punctuation network in PyTorch, for training: words' features -> scores of their labels."""

import torch
from torch import Tensor, nn

from asr.model.dropout import Dropout
from asr.model.encoders import BiLstmLayer, Span
from asr.punctuation.config import PunctuationConfig
from asr.punctuation.labels import CASES, MARKS


class PunctuationNetwork(nn.Module):
    """Embedded features, bidirectional LSTM layers and a linear layer with a score per case and per mark."""

    def __init__(self, config: PunctuationConfig):
        super().__init__()
        self.embedding = nn.EmbeddingBag(config.buckets, config.embedding, mode="sum")
        # Small, so that what is learned of a rare word soon outweighs its random start.
        nn.init.normal_(self.embedding.weight, std=0.1)
        sizes = [config.embedding, *[2 * config.width] * config.layers]
        self.layers = nn.ModuleList(BiLstmLayer(size, config.width, config.dropout) for size in sizes[:-1])
        self.norms = nn.ModuleList(nn.LayerNorm(2 * config.width) for _ in range(config.layers))
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(2 * config.width, len(CASES) + len(MARKS))

    def forward(self, features: Tensor) -> Tensor:
        """`(batch, words, FEATURES)` int64 -> scores `(batch, words, cases + marks)`, logits of both, cases first.

        All rows have the same number of words: there is no padding.
        """
        batch, words = features.shape[:2]
        x = self.dropout(self.embedding(features.flatten(0, 1)).unflatten(0, (batch, words)))
        span = Span(torch.full((batch,), words, device=features.device), words)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.dropout(norm(layer(x, span)))
        return self.head(x)
