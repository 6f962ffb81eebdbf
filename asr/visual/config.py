"""Options of `asr augment` and `asr inspect`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from asr.audio.config import AugmentConfig
from asr.decoding.config import DecoderConfig
from asr.utils.config_io import FLAT, NotNegative, Positive


@dataclass(frozen=True)
class AugmentPreviewConfig:
    """A preview of a recipe's augmentation."""

    #: Examples per recording.
    examples: Positive = 4
    #: Seed of the random changes.
    seed: NotNegative = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class InspectConfig:
    """A picture of one recognition."""

    #: Seconds to draw from the beginning of the recording, at most 60.
    seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 20.0
    #: Number of partial hypotheses: the recording is cut after 1/N, 2/N, ... of its length and recognised each time.
    partials: Positive = 20
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)
