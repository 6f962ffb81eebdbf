"""Options of `asr augment` and `asr inspect`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from asr.audio.config import AugmentConfig
from asr.decoding.config import DecoderConfig
from asr.utils.config_io import FLAT, NotNegative, Positive


@dataclass(frozen=True)
class AuditionConfig:
    """Hearing and seeing what a recipe's augmentation does."""

    #: Examples of each recording.
    examples: Positive = 4
    #: Another seed draws other examples.
    seed: NotNegative = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class InspectConfig:
    """One recognition from the inside."""

    #: Seconds, at most 60. Of a longer recording only the beginning is shown: wider pictures cannot be read.
    seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 20.0
    #: Partial hypotheses: what is said when the first of so many equal parts have been heard, then the first two,
    #: and so on.
    partials: Positive = 20
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)
