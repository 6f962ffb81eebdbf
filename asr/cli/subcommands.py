"""Subcommands in groups: the list of them, and which one a command line asks for.

Only the parser of that one is built: those of all others would take longer than most commands need to answer.
"""

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from asr.errors import UsageError

HELP = ("-h", "--help")


@dataclass(frozen=True)
class Command:
    """A function whose parameters are the arguments of a subcommand; it returns the exit status."""

    function: Callable[..., int]
    defaults: Callable[[Sequence[str]], Any] | None = None  # of `options`, by the arguments; else the class's own

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def run(self, program: str, arguments: Sequence[str]) -> int:
        """Parse the arguments and call the function. Raises `SystemExit` after `--help` and for a usage error."""
        import tyro

        # The help of an argument as one line, since tyro keeps the line breaks of a docstring.
        self.function.__doc__ = re.sub(r"\n {8,}", " ", inspect.getdoc(self.function) or "")
        function = _with_options(self.function, self.defaults(arguments)) if self.defaults else self.function
        return tyro.cli(function, prog=program, args=arguments, use_underscores=True)


@dataclass(frozen=True)
class Group:
    """Subcommands that the help lists together."""

    title: str
    commands: "dict[str, Command | CommandLine]"


@dataclass(frozen=True)
class CommandLine:
    """A program, or a command with subcommands of its own."""

    summary: str
    groups: tuple[Group, ...]
    version: str = ""

    def run(self, program: str, arguments: Sequence[str]) -> int:
        """The exit status of the subcommand that the arguments begin with. Raises `UsageError` without one."""
        name, rest = next(iter(arguments), ""), arguments[1:]
        if name in HELP or (self.version and name == "--version"):
            print(self.help(program) if name in HELP else f"{program} {self.version}")
            return 0
        commands = dict(self._commands())
        if name in commands:
            return commands[name].run(f"{program} {name}", rest)
        close = difflib.get_close_matches(name, commands, n=1)
        wrong = f"no command '{name}'" if name else "no command given"
        hint = f"; did you mean '{close[0]}'?" if close else f"; one of {', '.join(commands)};"
        raise UsageError(f"{wrong}{hint} `{program} --help` describes them")

    def help(self, program: str) -> str:
        """The groups with a line per subcommand."""
        width = max(len(name) for name, _ in self._commands())
        version = " [--version]" if self.version else ""
        lines = [f"usage: {program} [-h]{version} COMMAND ...", "", self.summary]
        for group in self.groups:
            lines += ["", group.title, *(f"  {name:<{width}}  {each.summary}" for name, each in group.commands.items())]
        return "\n".join([*lines, "", f"`{program} COMMAND --help` describes a command's options."])

    def _commands(self) -> "Iterator[tuple[str, Command | CommandLine]]":
        return (item for group in self.groups for item in group.commands.items())


def _with_options(function: Callable[..., int], options: Any) -> Callable[..., int]:
    """The function with these values as the defaults of its parameter `options`."""
    signature = inspect.signature(function)
    default = signature.parameters["options"].replace(default=options, kind=inspect.Parameter.KEYWORD_ONLY)
    others = [parameter for name, parameter in signature.parameters.items() if name != "options"]
    wrapped: Any = functools.wraps(function)(lambda *values, **named: function(*values, **named))
    wrapped.__signature__ = signature.replace(parameters=[*others, default])
    return wrapped
