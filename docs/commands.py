"""A hook of MkDocs that makes the page of all commands from their own help, so that it cannot go stale."""

import os
import re
import subprocess
import sys
import textwrap

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGE = "reference/commands.md"
COLUMNS = 79


def help_of(*command: str) -> str:
    """What `asr COMMAND --help` prints, in the width of the page."""
    line = [sys.executable, "-m", "asr", *command, "--help"]
    environment = os.environ | {"COLUMNS": str(COLUMNS), "PYTHONIOENCODING": "utf-8"}
    text = subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout
    # What precedes the options is one line per paragraph, which a terminal would wrap.
    lines = [line if line.startswith(" ") else textwrap.fill(line, COLUMNS) for line in text.splitlines()]
    return "\n".join([*lines, ""])


def subcommands(text: str) -> list[str]:
    """The names in a help's lists of commands, in order."""
    return re.findall(r"^  (\w+)  ", text, re.MULTILINE)


def page() -> str:
    """The help of every command."""
    overview = help_of()
    parts = [f"# Commands\n\nMade from the commands' own `--help`.\n\n```text\n{overview}```\n"]
    for name in subcommands(overview):
        text = help_of(name)
        parts.append(f"## asr {name}\n\n```text\n{text}```\n")
        if name in ("lm", "punctuate"):
            parts += [f"### asr {name} {below}\n\n```text\n{help_of(name, below)}```\n" for below in subcommands(text)]
    return "\n".join(parts)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by MkDocs once it has collected the pages."""
    files.append(File.generated(config, PAGE, content=page()))
    return files
