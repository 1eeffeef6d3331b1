"""Logs of every process: lines on the standard error stream."""

from __future__ import annotations

import sys

import structlog


def configure_logs() -> None:
    """To be called once, by whatever starts a process."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # The default shows every local variable: tokens, requests, rows of the store.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
