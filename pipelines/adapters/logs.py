"""Logs of every process: lines on the standard error stream."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable
from typing import Any

import structlog

REPEATED_AFTER_S = 10.0
"""What a library says again and again, such as that a broker is away, is one line in this time."""

REMEMBERED = 1_000
"""Texts of which is known when they were written last."""

_SERVICES = ("faust", "mode", "pipelines")
"""Faust logs with a traceback, in the name of a service's module, what ends the process: which says so itself."""

_COMMON: list[Callable[..., Any]] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso"),
]


def configure_logs() -> None:
    """To be called once, by whatever starts a process."""
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        # The default shows every local variable: tokens, requests, rows of the store.
        exception_formatter=structlog.dev.plain_traceback,
    )
    structlog.configure(
        processors=[*_COMMON, renderer],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_COMMON,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(Seldom())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for name in _SERVICES:
        logging.getLogger(name).propagate = False


class Seldom(logging.Filter):
    """Lets through the first of the records that say the same, and then one every `REPEATED_AFTER_S`.

    aiokafka tries a broker that is away ten times a second, and says so four times each.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], Said] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; it then says how many were not."""
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
    """When something was written last, and how often it was not since."""

    at_s: float
    left_out: int = 0
