"""Config dataclasses <-> plain values (TOML files, JSON, the model file). Unknown keys, wrong types and values out of
bounds become errors that name the key and what is allowed."""

import dataclasses
import difflib
import os
import tomllib
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import tyro

from asr.errors import ConfigError
from asr.utils import storage
from asr.utils.files import read_text

T = TypeVar("T")
Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
PositiveReal = Annotated[float, msgspec.Meta(gt=0)]
NotNegativeReal = Annotated[float, msgspec.Meta(ge=0)]
Size = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


def shown_default(default: str) -> str:
    """The default in a help text: nothing for none, and a file by its name rather than where this package is
    installed."""
    known = default not in ("", "''", "None", "none", "()")
    return f"(default: {Path(default).name if Path(default).is_absolute() else default})" if known else ""


SHOWN = tyro.conf.arg(help_behavior_hint=shown_default)  # options whose default is a path, or nothing
MAY_CHANGE = "may differ when a training run is resumed"  # a mark of fields, see `marked`
CHOSEN_AT_START = "when None, chosen when a training run begins, which keeps it"  # likewise
FLAT = tyro.conf.arg(name="")  # the options of a section have no section prefix


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """The values of a TOML file. Raises `ConfigError` naming it."""
    try:
        return tomllib.loads(read_text(path, ConfigError, f"give the path of a {kind} (TOML)"))
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not a {kind}: nested too deeply") from error


def below(folder: Path, name: Path) -> Path:
    """The path `name` that a file in `folder` gives, relative to the folder."""
    path = storage.join(folder, os.fspath(name))
    return Path(storage.url(path) or os.path.normpath(path))


def from_values(kind: type[T], values: Any, origin: str) -> T:
    """A config dataclass from plain values. Raises `ConfigError` on unknown keys, wrong types and values out of bounds;
    `origin` names their source."""
    if isinstance(values, dict):
        _check_keys(kind, values, origin, "")
    try:
        return msgspec.convert(values, kind, dec_hook=lambda wanted, value: wanted(value))
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        key = place.strip(".`")
        raise ConfigError(f"{origin}: {_shown(kind, key) or 'recipe'}: {message}{_choices(kind, key)}") from error


def _shown(kind: type, key: str) -> str:
    """A key as its command-line option is spelled, without the prefixes of flat sections."""
    names = []
    for name in key.split("."):
        hints = typing.get_type_hints(kind, include_extras=True) if dataclasses.is_dataclass(kind) else {}
        kind = hints.get(name.partition("[")[0])
        if FLAT in getattr(kind, "__metadata__", ()):
            kind = typing.get_args(kind)[0]
        else:
            names.append(name)
    return ".".join(names)


def to_values(config: Any) -> dict[str, Any]:
    """Plain values of a config dataclass, for TOML, JSON and the model file: the reverse of `from_values`."""
    # Via asdict: msgspec alone omits defaults that it did not set itself.
    return msgspec.to_builtins(dataclasses.asdict(config), enc_hook=str)


def marked(kind: type, mark: str) -> set[str]:
    """Dotted names of the fields that are annotated with `mark`, in a config dataclass and those that it contains."""
    names = set()
    for name, annotation in typing.get_type_hints(kind, include_extras=True).items():
        if mark in getattr(annotation, "__metadata__", ()):
            names.add(name)
        if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
            names |= {f"{name}.{inner}" for inner in marked(annotation, mark)}
    return names


def validate(config: T, origin: str) -> T:
    """Check a config that command-line options have changed, which checks no bounds by itself."""
    return from_values(type(config), to_values(config), origin)


def _choices(kind: type, key: str) -> str:
    """The choices of a field that has fixed ones, for an error message."""
    for name in key.split("."):
        kind = typing.get_type_hints(kind).get(name.partition("[")[0]) if dataclasses.is_dataclass(kind) else None
    return f"; allowed: {', '.join(map(str, typing.get_args(kind)))}" if typing.get_origin(kind) is Literal else ""


def _check_keys(kind: type, values: dict[str, Any], origin: str, prefix: str) -> None:
    fields = typing.get_type_hints(kind)
    for key, value in values.items():
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean '{prefix}{close[0]}'? " if close else ""
            raise ConfigError(f"{origin}: unknown key '{prefix}{key}'; {hint}allowed: {', '.join(fields)}")
        if any(isinstance(part, str) and "\0" in part for part in (value if isinstance(value, list) else [value])):
            raise ConfigError(f"{origin}: {prefix}{key}: contains a null character, which no name can have")
        if dataclasses.is_dataclass(fields[key]) and isinstance(value, dict):
            _check_keys(fields[key], value, origin, f"{prefix}{key}.")
