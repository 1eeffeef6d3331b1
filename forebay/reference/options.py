"""Reads the commands and their options from the functions that declare them."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo


class Option(NamedTuple):
    """An option or an argument."""

    name: str
    """As it is typed: `--port`, `--insecure / --no-insecure`, `TOPIC`."""
    variable: str
    """Empty: none."""
    default: str
    """`required` where it has none; empty where nothing is meant."""
    help: str


class Command(NamedTuple):
    """A command."""

    name: str
    help: str
    options: list[Option]


def commands(app: typer.Typer, prefix: str = "forebay") -> Iterator[Command]:
    """Yields every command, also those of groups, in the order of `--help`."""
    for info in app.registered_commands:
        function = info.callback
        if function is not None:
            name = f"{prefix} {info.name or function.__name__.replace('_', '-')}"
            yield Command(name, " ".join((function.__doc__ or "").split()), options(function))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from commands(group.typer_instance, f"{prefix} {group.name}")


def options(function: Any) -> list[Option]:
    """Returns the options of a function that is a command."""
    found = []
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if get_origin(parameter.annotation) is Annotated:
            kind, info, *_ = get_args(parameter.annotation)
            found.append(_option(parameter, kind, info))
    return found


def _option(parameter: inspect.Parameter, kind: Any, info: OptionInfo | ArgumentInfo) -> Option:
    choices = f" One of {', '.join(kind)}." if isinstance(kind, type) and issubclass(kind, enum.StrEnum) else ""
    return Option(
        name=_name(parameter.name, kind, info),
        variable=str(info.envvar or ""),
        default=_default(parameter.default),
        help=f"{info.help}{choices}",
    )


def _name(parameter: str, kind: Any, info: OptionInfo | ArgumentInfo) -> str:
    if isinstance(info, ArgumentInfo):
        return parameter.upper()
    if isinstance(info.default, str):
        return info.default
    name = parameter.replace("_", "-")
    return f"--{name} / --no-{name}" if kind is bool else f"--{name}"


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    if value is None or value is False or value == "":
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
