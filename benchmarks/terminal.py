"""Messages and the exit status of benchmarks."""

import sys
from collections.abc import Callable
from typing import Any

import tyro

from asr.errors import AsrError


def log(text: str) -> None:
    """Print a message to stderr."""
    print(text, file=sys.stderr, flush=True)


def start(main: Callable[[Any], None], options: type, about: str | None) -> None:
    """Run a benchmark with the options of the command line; an `AsrError` ends it with one line."""
    try:
        main(tyro.cli(options, description=about))
    except AsrError as error:
        log(f"error: {error}")
        sys.exit(error.exit_status)
