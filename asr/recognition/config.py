"""Options of `asr transcribe`, `align` and `listen`. The comments above the fields are the `--help` texts."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from asr.decoding.config import DecoderConfig
from asr.punctuation.config import WritingConfig
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
    #: Give words only where a voice activity detector finds speech, none in silence, noise or music.
    voice_activity: bool = True


@dataclass(frozen=True)
class TranscribeConfig:
    """Sound to words."""

    #: Output formats. 'txt': text; 'json': words with times and confidence; 'jsonl': that on one line; 'srt', 'vtt':
    #: subtitles; 'ctm', 'tsv': a word per line; 'TextGrid': Praat.
    format: tuple[Format, ...] = ("txt",)
    #: Skip inputs whose files in the output folder were written from the same recording, model and options. Needs -o.
    resume: bool = False
    #: 'local': this process. 'ray': the nodes of a Ray cluster, which write the outputs themselves. Needs -o.
    engine: Literal["local", "ray"] = "local"
    #: Address of the Ray cluster: 'auto' (of this machine, or RAY_ADDRESS), 'local' (one for this run), or HOST:PORT.
    ray_address: str = "auto"
    writing: Annotated[WritingConfig, FLAT] = field(default_factory=WritingConfig)
    #: Leave out segments whose confidence, the probability that all of their words are right, is below this.
    min_confidence: Share = 0.0
    run: Annotated[RunConfig, FLAT] = field(default_factory=RunConfig)
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)


@dataclass(frozen=True)
class AlignConfig:
    """Times of the words of a known text."""

    #: Output formats, as of `asr transcribe`. 'TextGrid' and 'json' have words, characters and doubtful words.
    format: tuple[Format, ...] = ("TextGrid",)
    #: Confidence, 0 to 1, below which a word is doubtful: the speech may differ from the text there.
    doubtful: Share = 0.02
    #: Language (en, de, fr, ...) in which to spell out numbers, for a model without digits; 'none' refuses them.
    numbers: str = "none"
    #: Device; 'auto' takes a GPU if there is one.
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


@dataclass(frozen=True)
class ListenConfig:
    """Live transcription."""

    #: Seconds of audio that a bidirectional network gets after a frame before its output there is final. More is more
    #: accurate and later.
    look_ahead: NotNegativeReal = 1.0
    #: Seconds of past audio that the network computes again in each step.
    history: PositiveReal = 1.5
    #: Seconds between steps. Each computes history and look_ahead.
    step: PositiveReal = 0.32
    #: Sample rate in hertz of raw samples on standard input (16-bit little-endian, one channel).
    rate: Annotated[int, msgspec.Meta(ge=2000, le=192000)] = 16000
    run: Annotated[RunConfig, FLAT] = field(default_factory=RunConfig)
    search: Annotated[DecoderConfig, FLAT] = field(default_factory=DecoderConfig)
