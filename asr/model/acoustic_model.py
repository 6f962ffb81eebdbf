"""The acoustic model: log-mel features -> log-probabilities of tokens per output frame.

Padding never changes a result: frames past an utterance's end are set to zero before every convolution, and no layer
mixes them into the utterance's own frames.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from asr.model.config import STRIDES, ModelConfig
from asr.model.dropout import Dropout
from asr.model.encoders import FAMILIES, Span
from asr.model.model_file import ModelFile, damaged


class ConvSubsampling(nn.Module):
    """Strided convolutions over time and frequency (as in Deep Speech 2, Amodei et al. 2016).

    `(batch, frames, mels)` -> `(batch, ceil(frames / factor), features)`. Output frame t depends on the `factor - 1`
    input frames on either side of frame `t * factor`, so on none after its own `factor` frames.
    """

    def __init__(self, factor: int, mels: int, channels: int):
        super().__init__()
        self.factor, self.strides = factor, STRIDES[factor]
        self.convolutions = nn.ModuleList()
        for stride in self.strides:
            inputs = channels if self.convolutions else 1
            self.convolutions.append(
                nn.Conv2d(inputs, channels, (2 * stride - 1, 3), stride=(stride, 2), padding=(stride - 1, 1))
            )
            mels = math.ceil(mels / 2)
        self.features = mels * channels if self.convolutions else mels

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Numbers of input frames, any shape -> numbers of output frames."""
        return (lengths + self.factor - 1) // self.factor

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        inside = torch.arange(features.shape[1], device=features.device) < lengths.unsqueeze(1)
        x = features.masked_fill(~inside.unsqueeze(2), 0.0)
        # Channels last in memory, the layout of oneDNN and cuDNN: otherwise every convolution converts its input.
        x = x.unsqueeze(3).permute(0, 3, 1, 2)
        for stride, convolution in zip(self.strides, self.convolutions, strict=True):
            lengths = (lengths + stride - 1) // stride
            x = MaskedRelu.apply(convolution(x), lengths)
        return x.transpose(1, 2).flatten(2), lengths


class MaskedRelu(torch.autograd.Function):
    """ReLU of `(batch, channels, frames, bands)` in place, with zeros past each length `(batch,)`.

    Zeros of the output, padding included, have no gradient, so the output doubles as the mask.
    """

    @staticmethod
    def forward(context, x: Tensor, lengths: Tensor) -> Tensor:
        inside = torch.arange(x.shape[2], device=x.device) < lengths.unsqueeze(1)
        context.mark_dirty(x.relu_().mul_(inside[:, None, :, None].to(x.dtype)))
        context.save_for_backward(x)
        return x

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = context.saved_tensors
        # In the memory layout of `x`: an operation on two layouts is many times slower.
        gradient = torch.empty_like(x).copy_(gradient)
        return torch.ops.aten.threshold_backward(gradient, x, 0), None


class AcousticModel(nn.Module):
    """Subsampling, the layers of one encoder family, and a linear CTC head.

    Recurrent layers, which have no residual connection, are followed by layer normalisation and dropout. With
    `config.phone_layer` a second head predicts phones from that layer, and its posteriors feed the layers above
    (self-conditioned CTC, Nozaki & Komatsu 2021). Token 0 is the blank, and so is phone 0.
    """

    def __init__(self, config: ModelConfig, mels: int, tokens: int, phones: int = 0):
        super().__init__()
        family = FAMILIES[config.encoder]
        self.subsampling = ConvSubsampling(config.subsampling, mels, config.channels)
        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        sizes = [self.subsampling.features]
        for index in range(config.layers):
            layer = family(sizes[-1], config.width, config.dropout)
            self.layers.append(layer)
            sizes.append(layer.size)
            bare = family.residual and index < config.layers - 1
            self.norms.append(nn.Identity() if bare else nn.LayerNorm(layer.size))
        self.dropout = Dropout(0.0 if family.residual else config.dropout)
        self.head = nn.Linear(sizes[-1], tokens)
        self.phone_layer = config.phone_layer if phones else 0
        if self.phone_layer:
            size = sizes[self.phone_layer]
            self.phone_head = nn.Linear(size, phones)
            if self.phone_layer < config.layers:
                self.phone_feedback = nn.Linear(phones, size)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Numbers of feature frames -> numbers of output frames."""
        return self.subsampling.output_lengths(lengths)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features `(batch, frames, mels)` and their lengths `(batch,)` in frames -> float32 log-probabilities
        `(batch, output frames, tokens + phones)`, tokens first, and their lengths. Values past a length are
        undefined."""
        outputs, phone_logits = self._encode(features, lengths)
        logits = (self.head(outputs[-1]), *phone_logits)
        return torch.cat([each.float().log_softmax(dim=-1) for each in logits], dim=-1), self.output_lengths(lengths)

    def layer_outputs(self, features: Tensor, lengths: Tensor) -> list[Tensor]:
        """Outputs of each layer, `(batch, output frames, size)`, for the arguments of `forward`."""
        return self._encode(features, lengths)[0]

    def _encode(self, features: Tensor, lengths: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Outputs of each layer; and the phones' logits, a list of one tensor or none."""
        x, lengths = self.subsampling(features, lengths)
        span, outputs, phone_logits = Span(lengths, x.shape[1]), [], []
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True), start=1):
            x = self.dropout(norm(layer(x, span)))
            outputs.append(x)
            if number == self.phone_layer:
                phone_logits.append(self.phone_head(x))
                if number < len(self.layers):
                    x = x + self.phone_feedback(torch.softmax(phone_logits[0], dim=-1))
        return outputs, phone_logits

    def weights(self) -> dict[str, np.ndarray]:
        """All weights as arrays, as a `ModelFile` has them."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self.state_dict().items()}

    def parameter_count(self) -> int:
        """Number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters())


def load_network(file: ModelFile) -> AcousticModel:
    """The network of a model file, on the CPU and in evaluation mode.

    Raises `ModelFileError` when the weights do not fit the file's config.
    """
    with torch.device("meta"):  # so that an absurd size takes no memory
        model = AcousticModel(file.architecture, file.features.mels, len(file.tokenizer.pieces), len(file.phones))
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: array.shape for name, array in file.weights.items()}
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            reason = f"{name} has shape {found.get(name)}; its config requires {wanted.get(name)}"
            raise damaged(file.path, ValueError(reason))
    # Assigned, not copied: `to_empty`, which a copy would need, imports PyTorch's compiler (a second).
    model.load_state_dict({name: torch.from_numpy(array) for name, array in file.weights.items()}, assign=True)
    return model.eval()
