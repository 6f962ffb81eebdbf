"""What benchmarks say to the person who runs them, and how they end."""

import sys
from collections.abc import Callable
from typing import Any

import tyro

from asr.errors import AsrError


def tell(text: str) -> None:
    """What goes on, on stderr."""
    print(text, file=sys.stderr, flush=True)


def start(main: Callable[[Any], None], options: type, about: str | None) -> None:
    """Run a benchmark with the options of the command line; what the user can mend ends it in one line."""
    try:
        main(tyro.cli(options, description=about))
    except AsrError as error:
        tell(f"error: {error}")
        sys.exit(error.exit_status)
