"""What the benchmarks show: progress on standard error, the result on standard output."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.report import LatencyReport, StreamReport, as_json, table_of

console = Console()
errors = Console(stderr=True)


def progress_display() -> Progress:
    """A display of steps done, to be entered."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=errors)


def show(report: StreamReport | LatencyReport, in_json: bool) -> None:
    """Prints the result: a table, or JSON."""
    if in_json:
        print(as_json(report), end="")
        return
    header, *rows = table_of(report)
    machine = report.machine
    table = Table(*header, title=f"{machine.cpu}, {machine.cores} cores, Python {machine.python}")
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
