"""Shows the steps of a long command: a spinner while one runs, a line with its time when it is done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


@contextmanager
def step(console: Console, title: str) -> Iterator[None]:
    """Shows one step; of a step that fails, only the title is printed."""
    started = time.monotonic()
    try:
        with console.status(escape(title)):
            yield
    except BaseException:
        console.print(f"[red]✗[/] {escape(title)}", highlight=False)
        raise
    console.print(f"[green]✓[/] {escape(title)} [dim]{time.monotonic() - started:.1f} s[/]", highlight=False)
