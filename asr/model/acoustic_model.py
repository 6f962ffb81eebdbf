"""The acoustic model: log-mel features -> log-probabilities of tokens for each output frame.

Padding never changes a result: what lies behind an utterance's end is set to zero before every convolution, and no
layer lets an utterance's own frames learn from it.
"""

import dataclasses
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

    `(batch, frames, mels)` -> `(batch, ceil(frames / factor), features)`. Output frame t hears the `factor - 1` frames
    on both sides of frame `t * factor`: nothing after its own stretch of time.
    """

    def __init__(self, factor: int, mels: int, channels: int):
        super().__init__()
        self.factor = factor
        self.convolutions = nn.ModuleList()
        for stride in STRIDES[factor]:
            inputs = channels if self.convolutions else 1
            self.convolutions.append(
                nn.Conv2d(inputs, channels, (2 * stride - 1, 3), stride=(stride, 2), padding=(stride - 1, 1))
            )
            mels = math.ceil(mels / 2)
        self.features = mels * channels if self.convolutions else mels
        self.receptive_frames = 2 * factor - 1

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Output frames for input frames, any shape."""
        return (lengths + self.factor - 1) // self.factor

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        inside = torch.arange(features.shape[1], device=features.device) < lengths.unsqueeze(1)
        x = features.masked_fill(~inside.unsqueeze(2), 0.0)
        # Channels last in memory, as oneDNN and cuDNN have them: otherwise every convolution rearranges its input.
        x = x.unsqueeze(3).permute(0, 3, 1, 2)
        for convolution in self.convolutions:
            stride = convolution.stride[0]
            lengths = (lengths + stride - 1) // stride
            x = SilentRelu.apply(convolution(x), lengths)
        return x.transpose(1, 2).flatten(2), lengths


class SilentRelu(torch.autograd.Function):
    """`(batch, channels, frames, bands)`, overwritten by its positive part, zero behind each length `(batch,)`.

    What it made zero has no gradient, the padding included: so the result tells where, and no mask is kept.
    """

    @staticmethod
    def forward(context, x: Tensor, lengths: Tensor) -> Tensor:
        inside = torch.arange(x.shape[2], device=x.device) < lengths.unsqueeze(1)
        context.mark_dirty(x.relu_().mul_(inside[:, None, :, None].to(x.dtype)))
        context.save_for_backward(x)
        return x

    @staticmethod
    def backward(context, above: Tensor) -> tuple[Tensor, None]:
        (x,) = context.saved_tensors
        # In the memory layout of `x`: two layouts in one operation are many times slower.
        above = torch.empty_like(x).copy_(above)
        return torch.ops.aten.threshold_backward(above, x, 0), None


class AcousticModel(nn.Module):
    """Subsampling, the layers of one encoder family, and a linear CTC head.

    Layers that have no residual connection, the recurrent ones, are followed by layer normalisation and dropout.
    Token 0 is the blank, and so is phone 0 where there are phones.
    """

    def __init__(self, config: ModelConfig, mels: int, tokens: int, phones: int = 0):
        super().__init__()
        family = FAMILIES[config.encoder]
        self.subsampling = ConvSubsampling(config.subsampling, mels, config.channels)
        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        size = self.subsampling.features
        for index in range(config.layers):
            self.layers.append(family(size, config.width, config.dropout))
            size = self.layers[-1].size
            bare = family.residual and index < config.layers - 1
            self.norms.append(nn.Identity() if bare else nn.LayerNorm(size))
        self.dropout = Dropout(0.0 if family.residual else config.dropout)
        self.head = nn.Linear(size, tokens)
        self.phone_layer = config.phone_layer if phones else 0
        if self.phone_layer:
            size = self.layers[self.phone_layer - 1].size
            self.phone_head = nn.Linear(size, phones)
            if self.phone_layer < config.layers:
                self.phone_feedback = nn.Linear(phones, size)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Output frames for feature frames."""
        return self.subsampling.output_lengths(lengths)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features `(batch, frames, mels)` and their lengths `(batch,)` in frames -> float32 log-probabilities
        `(batch, output frames, tokens + phones)`, those of the tokens first, and their lengths; what lies behind a
        length means nothing."""
        outputs, phones = self._hear(features, lengths)
        log_probabilities = [torch.log_softmax(each.float(), dim=-1) for each in (self.head(outputs[-1]), *phones)]
        return torch.cat(log_probabilities, dim=-1), self.output_lengths(lengths)

    def layer_outputs(self, features: Tensor, lengths: Tensor) -> list[Tensor]:
        """What each layer hands on, `(batch, output frames, size)`, of features as `forward` takes them."""
        return self._hear(features, lengths)[0]

    def _hear(self, features: Tensor, lengths: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What each layer hands on, and the phones' logits, one tensor of them if there is a phone layer."""
        x, lengths = self.subsampling(features, lengths)
        span, outputs, phones = Span(lengths, x.shape[1]), [], []
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True), start=1):
            x = self.dropout(norm(layer(x, span)))
            outputs.append(x)
            if number == self.phone_layer:
                phones.append(self.phone_head(x))
                if number < len(self.layers):
                    x = x + self.phone_feedback(torch.softmax(phones[0], dim=-1))
        return outputs, phones

    def weights(self) -> dict[str, np.ndarray]:
        """All weights as arrays, as a `ModelFile` has them."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self.state_dict().items()}

    def parameter_count(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.parameters())


def load_network(file: ModelFile) -> AcousticModel:
    """The network of a model file, on the CPU and in evaluation mode.

    Raises `ModelFileError` when the weights do not fit the file's settings.
    """
    with torch.device("meta"):  # where a size that is a lie takes no memory
        model = AcousticModel(file.architecture, file.features.mels, len(file.tokenizer.pieces), len(file.phones))
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: array.shape for name, array in file.weights.items()}
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            reason = f"{name}: the shape is {found.get(name)}, but the settings ask for {wanted.get(name)}"
            raise damaged(file.path, ValueError(reason))
    # Not copied: memory for the copy, without contents at first, would have PyTorch load its compiler (a second).
    model.load_state_dict({name: torch.from_numpy(array) for name, array in file.weights.items()}, assign=True)
    return model.eval()


def match_width(config: ModelConfig, mels: int, tokens: int, parameters: int) -> ModelConfig:
    """The config with the width at which its model has nearest to this many parameters."""

    def excess(width: int) -> int:
        with torch.device("meta"):  # where tensors have a shape and no contents
            return AcousticModel(dataclasses.replace(config, width=width), mels, tokens).parameter_count() - parameters

    above = 1
    while excess(above) < 0:
        above *= 2
    below = above // 2 or 1
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if excess(middle) < 0 else (below, middle)
    return dataclasses.replace(config, width=min(below, above, key=lambda width: abs(excess(width))))
