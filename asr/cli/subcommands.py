"""Which subcommand a command line asks for.

Only the parser of that one is made: those of all others would take longer than most of them need to answer.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, make_dataclass
from typing import Union

import tyro


@dataclass(frozen=True)
class Subcommands:
    """Subcommands, functions or again several, by their names; and what they are for, in a sentence."""

    about: str
    named: dict[str, Union[Callable[..., int], "Subcommands"]]

    def run(self, program: str, arguments: Sequence[str]) -> int:
        """The exit status of the one that `arguments` begin with. Without one: prints the list of them, or the error,
        and raises `SystemExit`."""
        name, rest = next(iter(arguments), ""), arguments[1:]
        command = self.named.get(name)
        if isinstance(command, Subcommands):
            return command.run(f"{program} {name}", rest)
        if command:
            return tyro.cli(command, prog=f"{program} {name}", args=rest, use_underscores=True)
        app = tyro.extras.SubcommandApp()
        for name, command in self.named.items():
            app.command(_outline(name, command), name=name)
        return app.cli(prog=program, description=self.about, args=arguments, use_underscores=True)


def _outline(name: str, command: Callable[..., int] | Subcommands) -> type:
    """A command without options: all that a list of commands shows."""
    about = command.about if isinstance(command, Subcommands) else inspect.getdoc(command).partition("\n\n")[0]
    return make_dataclass(name, [], namespace={"__doc__": about})
