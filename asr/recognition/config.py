"""Options of `asr transcribe`, `align` and `listen`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from asr.decoding.config import DecoderConfig
from asr.utils.config_io import FLAT, NotNegativeReal, PositiveReal, Share

Format = Literal["txt", "json", "jsonl", "srt", "vtt", "ctm", "tsv", "TextGrid"]


@dataclass(frozen=True)
class RunConfig:
    """Where and how much at once a trained model computes."""

    #: Where to compute. 'auto' takes a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: Arithmetic of the network: 'int8' on a CPU and 'bfloat16' on a GPU are two to three times as fast as 'float32'
    #: and change few words; 'auto' takes them.
    precision: Literal["auto", "float32", "int8", "bfloat16"] = "auto"
    #: Seconds of audio per batch on a GPU; a CPU takes recordings one by one.
    batch_seconds: PositiveReal = 120.0


@dataclass(frozen=True)
class TranscribeConfig:
    """Sound to words."""

    #: One format or several. 'txt': the words. 'json': also each word's start and end in seconds and its confidence,
    #: 0 to 1, segments, other hypotheses if there are any, the model and the decoder's settings. 'jsonl': words on
    #: one line a recording, for many of them. 'srt', 'vtt': subtitles. 'ctm': NIST's word times. 'tsv': a table of
    #: words. 'TextGrid': for Praat.
    format: tuple[Format, ...] = ("txt",)
    #: Leave out what is done: inputs whose files, in every format asked for, are in the output folder, written by
    #: this command from the same sound file with the same model, language model and decoder options. None of these
    #: files may have changed since, by size and time; the transcripts may. Needs -o.
    resume: bool = False
    run: Annotated[RunConfig, FLAT] = field(default_factory=RunConfig)
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)


@dataclass(frozen=True)
class AlignConfig:
    """When the words of a known text were said."""

    #: One format or several, as of `asr transcribe`. 'TextGrid' and 'json' have words, characters and doubtful words.
    format: tuple[Format, ...] = ("TextGrid",)
    #: Words less certain than this, of 0 to 1, are doubtful: the text may be another there, or the model weak.
    doubtful: Share = 0.3
    #: Where to compute. 'auto' takes a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


@dataclass(frozen=True)
class ListenConfig:
    """Words while someone speaks."""

    #: Seconds that a network that looks both ways hears beyond a frame before what it says of it is final. More is
    #: surer and later.
    look_ahead: NotNegativeReal = 1.0
    #: Seconds of the past that it hears again in each step.
    history: PositiveReal = 8.0
    #: Seconds between steps. Each takes a computation over history and look_ahead.
    step: PositiveReal = 0.32
    #: Hertz of raw samples from standard input (16-bit little-endian, one channel).
    rate: Annotated[int, msgspec.Meta(ge=2000, le=192000)] = 16000
    run: Annotated[RunConfig, FLAT] = field(default_factory=RunConfig)
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)
