"""Messages to the user on stderr, one per line, and the formatting of durations."""

import sys

from asr.errors import one_line


def tell(message: str) -> None:
    """Print a message to stderr as one line."""
    print(f"asr: {one_line(message)}", file=sys.stderr)


def time_text(seconds: float) -> str:
    """A duration in a suitable unit: `8.1 s`, `12.0 min` or `5.4 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
