"""Commands that show what is in a file, or in the network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from asr.cli.arguments import ModelOrEnglish, Options, Sound
from asr.cli.model_defaults import decoder_defaults
from asr.cli.subcommands import Command, Group
from asr.errors import one_line
from asr.pretrained import ENGLISH
from asr.utils.config_io import validate
from asr.utils.extras import require
from asr.visual.config import InspectConfig


def inspect_sound(
    sound: Sound,
    output: Annotated[Path, arg(aliases=["-o"], metavar="PICTURE")],
    options: Annotated[InspectConfig, Options],
    model: ModelOrEnglish = ENGLISH,
) -> int:
    """Draw what the network does with a recording.

    One picture shows features, layers, posteriors and words.

    Args:
        sound: Sound file.
        model: Model file written by `asr train`.
        output: Picture: .html, which also plays the sound, or .png, which needs an installed font for the script.
    """
    require("torch")  # whose extra has all that is needed
    from asr.visual.figure import inspect_sound

    inspection = inspect_sound(sound, model, output, validate(options, "options"))
    print(f"{one_line(inspection.title)}\nwords    {inspection.transcript.text}\npicture  {one_line(str(output))}")
    return 0


def info(path: Annotated[Path, Positional, arg(metavar="FILE")]) -> int:
    """Describe a model, language model, manifest or sound file.

    Args:
        path: File to describe, or its URL.
    """
    from asr.cli.info import describe

    print(describe(path))
    return 0


def _inspect_defaults(arguments: Sequence[str]) -> InspectConfig:
    return InspectConfig(search=decoder_defaults(arguments))


GROUP = Group("Look inside", {"inspect": Command(inspect_sound, _inspect_defaults), "info": Command(info)})
