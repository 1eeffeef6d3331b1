"""Configures the logs of every process: lines on the standard error stream."""

from __future__ import annotations

import dataclasses
import enum
import logging
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

REPEATED_AFTER_S = 10.0
"""Equal records of a library, such as that a broker is away, are one line in this time."""

REMEMBERED = 1_000
"""Texts of which is known when they were written last."""

_SERVICES = ("faust", "mode", "forebay.pipelines")
"""Faust logs with a traceback, in the name of a service's module, what ends the process: which says so itself."""

_Processors = list[Callable[..., Any]]

_COMMON: _Processors = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso")]


class LogFormat(enum.StrEnum):
    """The form of a line."""

    TEXT = "text"
    JSON = "json"
    """An object with `event`, `level`, `timestamp` (ISO 8601, UTC) and what belongs to the event."""


class LogLevel(enum.StrEnum):
    """The least severe level that is written. Libraries write from `warning` on, unless it is `debug`."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogSettings(NamedTuple):
    """How a process writes its logs."""

    format: LogFormat = LogFormat.TEXT
    level: LogLevel = LogLevel.INFO


DEFAULTS = LogSettings()

_settings = DEFAULTS


def log_settings() -> LogSettings:
    """Returns the settings of this process, which its child processes use too."""
    return _settings


def configure_logs(settings: LogSettings = DEFAULTS) -> None:
    """Configures logging; called once per process, at its start."""
    global _settings
    _settings = settings
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    as_json = settings.format is LogFormat.JSON
    processors: _Processors = [*_COMMON, structlog.processors.format_exc_info] if as_json else _COMMON
    renderer = structlog.processors.JSONRenderer() if as_json else _text()
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # The stream of the moment: tests replace it.
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(Seldom())
    libraries = level if settings.level is LogLevel.DEBUG else max(level, logging.WARNING)
    logging.basicConfig(handlers=[handler], level=libraries)
    # A warning of Python's would be a line of its own, and no JSON.
    logging.captureWarnings(as_json)
    for name in _SERVICES:
        logging.getLogger(name).propagate = False


def _text() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        # The default shows every local variable: tokens, requests, rows of the store.
        exception_formatter=structlog.dev.plain_traceback,
    )


class Seldom(logging.Filter):
    """Lets through the first of equal records, and then one every `REPEATED_AFTER_S`.

    aiokafka tries a broker that is away ten times a second, and says so four times each.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], Said] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether the record is written; it then names the number of those left out."""
        text = record.getMessage()
        said = self._said.get((record.name, text))
        if said is not None and record.created < said.at_s + REPEATED_AFTER_S:
            said.left_out += 1
            return False
        if len(self._said) >= REMEMBERED:
            self._said.clear()
        self._said[record.name, text] = Said(record.created)
        if said is not None and said.left_out:
            record.msg, record.args = f"{text} (and {said.left_out} times more before)", ()
        return True


@dataclasses.dataclass(slots=True)
class Said:
    """When a record was written last, and how many equal ones were left out since."""

    at_s: float
    left_out: int = 0
