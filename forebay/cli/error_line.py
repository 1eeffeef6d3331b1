"""Ends every command on an error: with one line where Forebay raised it on purpose."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from rich.console import Console
from rich.markup import escape

from forebay.pipelines.errors import ForebayError
from forebay.pipelines.process.logs import LogFormat, log_settings
from forebay.pipelines.process.status import CRASHED, INTERRUPTED

log = structlog.get_logger("forebay")


@contextmanager
def error_line() -> Iterator[None]:
    """Ends the process with a line and its status for a `ForebayError`, `INTERRUPTED` for Ctrl-C.

    Where logs are JSON, the line is too, and so is an unexpected error with its traceback.
    """
    try:
        yield
    except ForebayError as error:
        _say(error)
        sys.exit(error.status)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if _from_interrupt(error):
            sys.exit(INTERRUPTED)
        if log_settings().format is LogFormat.JSON:
            log.critical("unexpected", exc_info=error)
            sys.exit(CRASHED)
        raise


def _say(error: ForebayError) -> None:
    if log_settings().format is LogFormat.JSON:
        log.critical(str(error), status=error.status)
    else:
        # Not wrapped: one error is one line of a log.
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)


def _from_interrupt(error: BaseException | None) -> bool:
    """Returns whether Ctrl-C caused an error: inside a library or a lock it may be turned into another exception."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
