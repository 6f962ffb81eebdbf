"""Messages for a person, each on one line of stderr."""

import sys
import unicodedata


def one_line(text: str) -> str:
    """Text with line ends and other control characters, which file names may hold, written as escapes."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)


def tell(message: str) -> None:
    """A message for a person, on one line."""
    print(f"asr: {one_line(message)}", file=sys.stderr)
