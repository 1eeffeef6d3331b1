"""Prints tables: drawn on a terminal, lines of tab-separated cells elsewhere."""

from __future__ import annotations

from collections.abc import Collection

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text


def new_table(title: str, *columns: str, whole: Collection[str] = (), right: Collection[str] = ()) -> Table:
    """Builds an empty table.

    Args:
        title: plain text; empty: none.
        columns: their headers.
        whole: columns that a narrow terminal never breaks within a cell.
        right: columns of numbers.
    """
    table = Table(title=escape(title) or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(
            name, overflow="fold", no_wrap=name in whole or name in right, justify="right" if name in right else "left"
        )
    return table


def add_row(table: Table, *cells: object) -> None:
    """Adds a row of plain texts."""
    table.add_row(*(escape(str(cell)) for cell in cells))


def print_table(table: Table, console: Console) -> None:
    """Prints a table as wide as the terminal; where there is none, title, header and rows as tab-separated lines.

    A file or a pipe has no width: a table fitted into the 80 columns that are assumed there would break names and
    addresses over two lines, where `grep` and `cut` do not find them.
    """
    if console.file.isatty():
        console.print(table)
        return
    if table.title:
        console.file.write(f"{_plain(table.title)}\n")
    rows = zip(*((column.header, *column.cells) for column in table.columns), strict=True)
    # Not by the console, which replaces tabs by spaces.
    console.file.writelines("\t".join(map(_plain, row)) + "\n" for row in rows)


def _plain(cell: object) -> str:
    return " ".join(Text.from_markup(str(cell), emoji=False).plain.split())
