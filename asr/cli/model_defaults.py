"""Defaults of options that depend on a file which the command line names: a recipe, or the decoder.toml of a model.

The command line is parsed once, with these defaults, so that an option given on it overrides the file and `--help`
shows the file's values. Only the arguments that name the file are looked up before.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from asr.config import Recipe, load_recipe
from asr.decoding.config import DecoderConfig, load_decoder
from asr.pretrained import ENGLISH


def recipe_defaults(arguments: Sequence[str]) -> Recipe:
    """The recipe among the arguments of a command; the built-in one when they name none."""
    named = [name for name in arguments if name.endswith(".toml")]
    return load_recipe(Path(named[0])) if named else Recipe()


def decoder_defaults(arguments: Sequence[str]) -> DecoderConfig:
    """The decoder's defaults for the model among the arguments of a command, or for the English one, as far as they
    suit a language model or decoder named there too."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-m", "--model", default=ENGLISH)
    parser.add_argument("--lm")
    parser.add_argument("--decoder")
    try:
        named = parser.parse_known_args(arguments)[0]
    except argparse.ArgumentError:  # an option without its value: tyro reports it
        return DecoderConfig()
    return load_decoder(Path(named.model), named.lm, named.decoder)
