"""The defaults that a command's options have from files that its command line names: a recipe, a model's decoder."""

import argparse
import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asr.config import Recipe, load_recipe
from asr.decoding.config import DecoderConfig, load_decoder
from asr.pretrained import ENGLISH

TAKE_RECIPE = ("train", "augment")
TAKE_DECODER = ("transcribe", "listen", "inspect", "evaluate", "tune")


def recipe_of(arguments: Sequence[str]) -> Recipe:
    """The recipe that a command line names; the built-in one when it names none."""
    named = [name for name in arguments[1:] if name.endswith(".toml")]
    return load_recipe(Path(named[0])) if named and arguments[0] in TAKE_RECIPE else Recipe()


def decoder_of(arguments: Sequence[str]) -> DecoderConfig:
    """The decoder's defaults for the model that a command line names, or the English one, as far as they go with its
    other options."""
    if not arguments or arguments[0] not in TAKE_DECODER:
        return DecoderConfig()
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-m", "--model")
    parser.add_argument("--lm")
    parser.add_argument("--decoder")
    try:
        named = parser.parse_known_args(arguments)[0]
    except argparse.ArgumentError:  # which tyro will tell better
        return DecoderConfig()
    return load_decoder(Path(named.model or ENGLISH), named.lm, named.decoder)


def with_options(command: Callable, options: Any) -> Callable:
    """The command with these values as the defaults of its `options`."""
    signature = inspect.signature(command)
    default = signature.parameters["options"].replace(default=options, kind=inspect.Parameter.KEYWORD_ONLY)
    others = [parameter for name, parameter in signature.parameters.items() if name != "options"]
    wrapped = functools.wraps(command)(lambda *values, **named: command(*values, **named))
    wrapped.__signature__ = signature.replace(parameters=[*others, default])
    return wrapped
