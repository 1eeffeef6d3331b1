"""How every command ends on an error made on purpose: one line, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from pipelines.errors import ForebayError


@contextmanager
def error_line() -> Iterator[None]:
    """Ends the process with a line and its status for a `ForebayError`, with 130 for Ctrl-C."""
    try:
        yield
    except ForebayError as error:
        # Not wrapped: one error is one line of a log.
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.status)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if _from_interrupt(error):
            sys.exit(130)
        raise


def _from_interrupt(error: BaseException | None) -> bool:
    """Whether an error came of Ctrl-C: amid a library's code or a lock, one may be made into something else."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
