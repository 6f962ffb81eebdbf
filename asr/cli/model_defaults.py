"""Defaults of options that depend on a file which the command line names: a recipe, or the decoder.toml of a model.

tyro needs all defaults before it parses: then an option given on the command line overrides the file, and `--help`
shows the file's values. So the arguments that name the file are looked up first, and all are parsed once, by tyro.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from asr.config import Recipe, load_recipe
from asr.decoding.config import DecoderConfig, load_decoder
from asr.pretrained import ENGLISH


def recipe_defaults(arguments: Sequence[str]) -> Recipe:
    """The recipe among the arguments of a command; the built-in one when they name none."""
    _, others = _look_up(arguments, ["--rival"])  # whose value is a recipe too
    named = [name for name in others if name.endswith(".toml")]
    return load_recipe(Path(named[0])) if named else Recipe()


def decoder_defaults(arguments: Sequence[str]) -> DecoderConfig:
    """The decoder's defaults for the model among the arguments of a command, or for the English one, as far as they
    suit a language model or decoder named there too."""
    named, _ = _look_up(arguments, ["-m", "--model"], ["--lm"], ["--decoder"])
    return load_decoder(Path(named.model or ENGLISH), named.lm, named.decoder)


def _look_up(arguments: Sequence[str], *options: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The values of some options, None without one, and the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for names in options:
        parser.add_argument(*names)
    try:
        return parser.parse_known_args(arguments)
    except argparse.ArgumentError:  # an option without its value: tyro reports it
        return parser.parse_known_args([])
