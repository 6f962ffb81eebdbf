"""Commands that recognise speech."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, cast

from tyro.conf import Positional, arg

from asr.cli.arguments import ModelOrEnglish, Options, OutputFolder, Sound
from asr.cli.model_defaults import decoder_defaults
from asr.cli.subcommands import Command, Group
from asr.pretrained import ENGLISH
from asr.punctuation.config import WritingConfig
from asr.recognition.config import AlignConfig, ListenConfig, TranscribeConfig
from asr.utils.config_io import validate
from asr.utils.messages import tell


def transcribe(
    inputs: Annotated[tuple[str, ...], Positional, arg(metavar="INPUT", help_behavior_hint="")],
    options: Annotated[TranscribeConfig, Options],
    model: ModelOrEnglish = ENGLISH,
    output: OutputFolder = None,
) -> int:
    """Transcribe recordings to text, subtitles or word times.

    All inputs are tried. The exit status is 0 only if every one of them could be transcribed.

    Args:
        inputs: Sound files, folders (searched recursively), globs, or - for standard input.
        model: Model file written by `asr train`.
        output: Folder for one file per input and format. Without it, standard output, which --engine ray cannot use.
    """
    from asr.cli.transcribe import transcribe

    return 1 if transcribe(inputs, model, output, validate(options, "options")).failures else 0


def listen(
    options: Annotated[ListenConfig, Options],
    model: ModelOrEnglish = ENGLISH,
    source: Annotated[Literal["microphone", "-"], Positional, arg(metavar="SOURCE")] = "microphone",
) -> int:
    """Live transcription from the microphone or a PCM stream.

    On a terminal, words appear before they are final; elsewhere only final words are printed. Ctrl-C ends it.

    Args:
        model: Model file written by `asr train`.
        source: 'microphone', or - for raw samples on standard input, as from `ffmpeg -i x -f s16le -ac 1 -ar 16000 -`.
    """
    from asr.recognition.microphone import microphone, raw_samples, show
    from asr.recognition.recognizer import Recognizer
    from asr.recognition.streaming import listen

    options = validate(options, "options")
    run = options.run
    writing = WritingConfig(punctuation=options.punctuation)
    recognizer = Recognizer.load(model, run.device, options.search, run.precision, run.voice_activity, writing)
    rate = recognizer.sample_rate
    stdin = cast(io.BufferedReader, sys.stdin.buffer)
    pieces = microphone(rate) if source == "microphone" else raw_samples(stdin, options.rate, rate)
    tell(show(listen(recognizer, pieces, options), sys.stdout, recognizer.separator).to_text())
    return 0


def align(
    sound: Sound,
    text: Annotated[Path, Positional, arg(metavar="TEXT")],
    options: Annotated[AlignConfig, Options],
    model: ModelOrEnglish = ENGLISH,
    output: OutputFolder = None,
) -> int:
    """Align a transcript to a recording; report words that do not match.

    The exit status is 0 only if text and speech match.

    Args:
        sound: Sound file of any length.
        text: Text file (UTF-8) with the spoken words in order.
        model: Model file written by `asr train`.
        output: Folder for one file per format, named after the sound file. Without it, standard output.
    """
    from asr.recognition.align_file import align_file

    found = align_file(sound, text, model, output, validate(options, "options"))
    for note in found.alignment.notes:
        tell(f"{sound}: {note}")
    print(found.output, end="")
    return 0 if found.alignment.complete else 1


def _transcribe_defaults(arguments: Sequence[str]) -> TranscribeConfig:
    return TranscribeConfig(search=decoder_defaults(arguments))


def _listen_defaults(arguments: Sequence[str]) -> ListenConfig:
    return ListenConfig(search=decoder_defaults(arguments))


GROUP = Group(
    "Recognise",
    {
        "transcribe": Command(transcribe, _transcribe_defaults),
        "listen": Command(listen, _listen_defaults),
        "align": Command(align),
    },
)
