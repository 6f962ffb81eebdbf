"""Options of `asr transcribe`, `align` and `listen`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from asr.decoding.config import DecoderConfig
from asr.punctuation.config import WritingConfig
from asr.utils.config_io import FLAT, NotNegativeReal, PositiveReal, Share
from asr.utils.ray_cluster import EngineConfig

BATCH_SECONDS = 120.0  # of audio
Format = Literal["txt", "json", "jsonl", "srt", "vtt", "ctm", "tsv", "TextGrid"]


@dataclass(frozen=True)
class RunConfig:
    """How a trained model is run: device, arithmetic and batch size."""

    #: Device to compute on. 'auto': a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    #: Arithmetic of the network. 'auto': 'int8' on a CPU and 'bfloat16' on a GPU, which are two to three times as fast
    #: as 'float32' and change few words.
    precision: Literal["auto", "float32", "int8", "bfloat16"] = "auto"
    #: Seconds of audio per batch on a GPU; a CPU takes recordings one by one.
    batch_seconds: PositiveReal = BATCH_SECONDS
    #: Output words only where a voice activity detector finds speech: none in silence, noise or music.
    voice_activity: bool = True


@dataclass(frozen=True)
class TranscribeConfig:
    """Recordings to words."""

    #: Output formats. 'txt': text; 'json': words with times and confidence; 'jsonl': the same on one line; 'srt'
    #: and 'vtt': subtitles; 'ctm' and 'tsv': a word per line; 'TextGrid': for Praat.
    format: tuple[Format, ...] = ("txt",)
    #: Skip inputs whose output was already written from the same recording, model and options. Needs -o.
    resume: bool = False
    where: Annotated[EngineConfig, FLAT] = field(default_factory=EngineConfig)
    writing: Annotated[WritingConfig, FLAT] = field(default_factory=WritingConfig)
    #: Leave out segments with a confidence below this: the probability that all of their words are correct.
    min_confidence: Share = 0.0
    run: Annotated[RunConfig, FLAT] = field(default_factory=RunConfig)
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)


@dataclass(frozen=True)
class AlignConfig:
    """Times of the words of a known transcript."""

    #: Output formats, as for `asr transcribe`. 'TextGrid' and 'json' also have characters and doubtful words.
    format: tuple[Format, ...] = ("TextGrid",)
    #: Confidence (0 to 1) below which a word is reported as doubtful: the speech may differ from the text there.
    doubtful: Share = 0.02
    #: Language (en, de, fr, ...) in which to spell out digits that the model cannot output. 'none': reject them.
    numbers: str = "none"
    #: Device to compute on. 'auto': a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


@dataclass(frozen=True)
class ListenConfig:
    """Live transcription."""

    #: Write punctuation and capital letters, if there is a punctuation.safetensors beside the model. A word is written
    #: when a pause or some words follow.
    punctuation: bool = True
    #: Seconds of audio after a frame that a bidirectional network sees before its output becomes final. More is more
    #: accurate but adds delay.
    look_ahead: NotNegativeReal = 1.0
    #: Seconds of past audio that each step recomputes.
    history: PositiveReal = 3.0
    #: Seconds between steps. Each step computes history, step and look-ahead.
    step: PositiveReal = 0.32
    #: Sample rate in hertz of raw samples on standard input (16-bit little-endian mono).
    rate: Annotated[int, msgspec.Meta(ge=2000, le=192000)] = 16000
    run: Annotated[RunConfig, FLAT] = field(default_factory=RunConfig)
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)
