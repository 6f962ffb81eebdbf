"""The model section of a recipe. The comments above the fields are the `--help` texts."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from asr.utils.config_io import Share, Size

# Time strides of the convolutions per subsampling factor. Each convolution also halves the mel axis, which is why a
# factor of 3 has a second one: what they leave is the input size of the first encoder layer.
STRIDES = {1: (), 2: (2,), 3: (3, 1), 4: (2, 2), 6: (3, 2), 8: (2, 2, 2)}
HEADS = 4  # attention heads
KERNEL = 21  # frames of a convolution kernel, as in Hannun et al. 2019

# Frames before and after its own that one layer's output frame depends on.
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

    #: Layer type. 'bilstm': bidirectional LSTM. 'rnn', 'gru', 'lstm': causal, for live transcription. 'cnn', 'none' (no
    #: context) and 'transformer' (rotary positions) are for comparison.
    encoder: Literal["rnn", "gru", "lstm", "bilstm", "cnn", "transformer", "none"] = "bilstm"
    #: Feature frames per output frame. 4 gives frames of 40 ms, the longest that suit characters; 3 is more accurate
    #: for characters, 6 and 8 suit longer units.
    subsampling: Literal[1, 2, 3, 4, 6, 8] = 4
    #: Channels of the subsampling convolutions.
    channels: Size = 32
    #: Number of encoder layers.
    layers: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    #: Layer size: cells per direction in recurrent layers, features per frame in the others.
    width: Size = 256
    #: Share of activations set to zero between layers in training.
    dropout: Share = 0.2
    #: Number of the layer that also predicts phones and feeds them to the layers above, so that the decoder can search
    #: a pronunciation lexicon. Needs data.lexicon. 0: none.
    phone_layer: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0

    def __post_init__(self):
        if self.phone_layer > self.layers:
            raise ValueError(f"phone_layer: must be at most layers ({self.layers}), not {self.phone_layer}")

    @property
    def context(self) -> tuple[float, float]:
        """Feature frames before and after frame `t * subsampling` that output frame t depends on; `math.inf` means
        all."""
        back, ahead = REACH[self.encoder]
        own = self.subsampling - 1
        return self.subsampling * self.layers * back + own, self.subsampling * self.layers * ahead + own
