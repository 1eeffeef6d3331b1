"""Adds to every command the options of the log, and the variables of its settings."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.models import OptionInfo

from forebay.pipelines.process.logs import LogFormat, LogLevel, LogSettings, configure_logs

Function = Callable[..., None]

LogFormatOption = Annotated[
    LogFormat,
    typer.Option("--log-format", envvar="FOREBAY_LOG_FORMAT", help="Text lines, or one JSON object per line."),
]
LogLevelOption = Annotated[
    LogLevel,
    typer.Option("--log-level", envvar="FOREBAY_LOG_LEVEL", help="Least severe level that is written."),
]


def logged(function: Function) -> Function:
    """Adds `--log-format` and `--log-level` to a command, which does not see them."""
    own = inspect.signature(function, eval_str=True).parameters.values()

    @functools.wraps(function)
    def command(*, log_format: LogFormat, log_level: LogLevel, **options: Any) -> None:
        configure_logs(LogSettings(log_format, log_level))
        function(**options)

    keyword = inspect.Parameter.KEYWORD_ONLY
    defaults = LogSettings()
    return _declared(
        command,
        [
            *own,
            inspect.Parameter("log_format", keyword, default=defaults.format, annotation=LogFormatOption),
            inspect.Parameter("log_level", keyword, default=defaults.level, annotation=LogLevelOption),
        ],
    )


def from_environment(function: Function) -> Function:
    """Returns the command with an environment variable for each option that names none: `--feature-wait-ms` is
    `FOREBAY_FEATURE_WAIT_MS`.
    """
    own = inspect.signature(function, eval_str=True).parameters.values()

    @functools.wraps(function)
    def command(**options: Any) -> None:
        function(**options)

    return _declared(command, [each.replace(annotation=_named(each)) for each in own])


def _declared(command: Function, parameters: list[inspect.Parameter]) -> Function:
    """Returns the function with the parameters that the command line declares."""
    keyword_only = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    command.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _named(parameter: inspect.Parameter) -> Any:
    """Returns the parameter's annotation, with a variable for its option."""
    if get_origin(parameter.annotation) is not Annotated:
        return parameter.annotation
    kind, option, *_ = get_args(parameter.annotation)
    if not isinstance(option, OptionInfo) or option.envvar is not None:
        return parameter.annotation
    named = copy.copy(option)
    named.envvar = variable(option.default if isinstance(option.default, str) else parameter.name)
    return Annotated[kind, named]


def variable(option: str) -> str:
    """Names the environment variable of an option, after its long name or its parameter's."""
    return "FOREBAY_" + option.removeprefix("--").replace("-", "_").upper()
