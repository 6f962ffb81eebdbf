"""Messages for a person, each on one line of stderr."""

import sys

from asr.errors import one_line


def tell(message: str) -> None:
    """A message for a person, on one line."""
    print(f"asr: {one_line(message)}", file=sys.stderr)
