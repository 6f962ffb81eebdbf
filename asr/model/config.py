"""The model section of a recipe. The comments above the fields are the `--help` texts."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import Share, Size

# Strides in time of the convolutions for each subsampling factor; each convolution halves the mel axis as well, which
# is why a factor of 3 has a second one: the size of the first layer follows from what they leave.
STRIDES = {1: (), 2: (2,), 3: (3, 1), 4: (2, 2), 6: (3, 2), 8: (2, 2, 2)}
HEADS = 4  # of attention
KERNEL = 21  # frames that a convolution layer mixes: the size of Hannun et al. 2019

# Frames before and after its own that an output frame of one layer depends on.
REACH = {
    "rnn": (math.inf, 0),
    "gru": (math.inf, 0),
    "lstm": (math.inf, 0),
    "bilstm": (math.inf, math.inf),
    "cnn": (KERNEL // 2, KERNEL // 2),
    "transformer": (math.inf, math.inf),
    "none": (0, 0),
}


@dataclass(frozen=True)
class ModelConfig:
    """The acoustic model: convolutional subsampling, the layers of one encoder family, a linear CTC head."""

    #: How one frame learns from others. Recurrent: 'rnn' (Elman's, tanh), 'gru' and 'lstm' look back only, so that
    #: words can come while someone speaks; 'bilstm' looks both ways. 'cnn': separable convolutions along time, about a
    #: second each way. 'transformer': self-attention with rotary positions. 'none': each frame by itself, to compare.
    encoder: Literal["rnn", "gru", "lstm", "bilstm", "cnn", "transformer", "none"] = "bilstm"
    #: Feature frames for each output frame. 4 gives 40 ms frames: four times less work for the recurrent layers,
    #: and still more frames than characters in fast speech. 3 suits letters better, 6 and 8 larger units.
    subsampling: Literal[1, 2, 3, 4, 6, 8] = 4
    #: Channels of the convolutions that subsample.
    channels: Size = 32
    #: Layers of the encoder.
    layers: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    #: Size of a layer: cells for each direction of the recurrent families, features of a frame of the others.
    width: Size = 256
    #: Share of activations set to zero between layers while training.
    dropout: Share = 0.2
    #: Layer, counted from 1, that names phones, by a CTC head of its own; layers above it hear what it named
    #: (self-conditioning, Nozaki & Komatsu 2021). English letters are easier to find by way of phones, and a
    #: pronunciation lexicon can be searched with them. Needs data.lexicon. 0: none.
    phone_layer: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0

    def __post_init__(self):
        if self.phone_layer > self.layers:
            raise ValueError(f"phone_layer: there are {self.layers} layers, so not {self.phone_layer}")

    @property
    def context(self) -> tuple[float, float]:
        """Feature frames before and after the first one of its own that an output frame depends on; `math.inf` for
        all there are."""
        back, ahead = REACH[self.encoder]
        own = self.subsampling - 1
        return self.subsampling * self.layers * back + own, self.subsampling * self.layers * ahead + own

    @property
    def causal(self) -> bool:
        """Whether an output frame depends on nothing that comes after it."""
        return REACH[self.encoder][1] == 0
