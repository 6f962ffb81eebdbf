"""A hook of MkDocs that makes the page of all commands from their own help, so that it cannot go stale."""

import os
import re
import subprocess
import sys

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGE = "reference/commands.md"


def help_of(*command: str) -> str:
    """What `asr COMMAND --help` prints, 100 columns wide."""
    line = [sys.executable, "-m", "asr", *command, "--help"]
    environment = os.environ | {"COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout


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
