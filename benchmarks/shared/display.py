"""What the benchmarks show: progress on standard error, the result on standard output."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table as Shown

from benchmarks.shared.machine import Machine
from benchmarks.shared.report import Table

console = Console()
errors = Console(stderr=True)


def progress_display() -> Progress:
    """A display of steps done, to be entered."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=errors)


def completed(display: Progress, task: TaskID, count: int) -> None:
    """Shows how far a task has come."""
    display.update(task, completed=count)


def show(table: Table, machine: Machine) -> None:
    """Prints a result as a table."""
    shown = Shown(*table.header, title=f"{machine.cpu}, {machine.cores} cores, Python {machine.python}")
    for cells in table.rows:
        shown.add_row(*cells)
    console.print(shown)
