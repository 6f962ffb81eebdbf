"""The `asr` command: its groups of subcommands, and errors as one line and an exit status."""

import io
import os
import sys

from asr import __version__
from asr.cli.subcommands import CommandLine
from asr.errors import AsrError
from asr.utils.extras import how_to_install
from asr.utils.messages import tell


def command_line() -> CommandLine:
    """All subcommands."""
    from asr.cli.commands import evaluate, language_models, look_inside, recognize, serve, train

    groups = tuple(module.GROUP for module in (recognize, serve, train, evaluate, language_models, look_inside))
    return CommandLine("Speech recognition with a small BiLSTM-CTC model.", groups, __version__)


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit status; errors propagate to the caller."""
    try:
        return command_line().run("asr", arguments)
    finally:
        sys.stdout.flush()  # a full disk, or a reader that has gone, is an error like others


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit status: 0 done, 1 not done for all inputs, 2 an error, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr has it: file names need not be UTF-8
    try:
        return run(list(sys.argv[1:] if arguments is None else arguments))
    except AsrError as error:
        tell(str(error))
        return error.exit_status
    except ImportError as error:
        message = how_to_install(error)
        if message is None:
            raise
        tell(message)
        return 2
    except BrokenPipeError:
        # The reader of our output has gone (`asr ... | head`).
        discard_output()
        return 1
    except OSError as error:
        tell(f"{error.filename or 'output'}: {error.strerror or error}")
        if error.filename is None:
            discard_output()
        return 2
    except KeyboardInterrupt:
        tell("interrupted")
        return 130


def discard_output() -> None:
    """Drop what could not be written to standard output, which Python would try again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
