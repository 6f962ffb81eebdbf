"""Annotations of arguments that several commands have."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from asr.utils.config_io import shown_default

Options = arg(name="")  # options of a dataclass without a name before them
ModelPath = Annotated[Path, arg(aliases=["-m"], metavar="MODEL")]
ModelOrEnglish = Annotated[
    Path, arg(aliases=["-m"], metavar="MODEL", help_behavior_hint="(default: the English model of this package)")
]
OutputFolder = Annotated[Path | None, arg(aliases=["-o"], metavar="DIR", help_behavior_hint=shown_default)]
RecipePath = Annotated[Path, Positional, arg(metavar="RECIPE.toml")]
Sound = Annotated[Path, Positional, arg(metavar="SOUND")]
Texts = Annotated[tuple[Path, ...], Positional, arg(metavar="TEXT", help_behavior_hint="")]
