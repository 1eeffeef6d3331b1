"""Where a result goes: its files, and the screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.shared.display import show
from benchmarks.shared.report import DOCUMENT, Report, Row, Table, as_json, write_results, write_table


def publish(
    name: str, report: Report[Row], tables: Mapping[str, Table], in_json: bool, document: Path = DOCUMENT
) -> None:
    """Writes `<name>.json` and the document's tables, and prints either.

    Args:
        tables: by the name of their markers.
        in_json: what to print.

    Raises:
        ReportError: the document has no place for a table; the JSON is written nevertheless.
    """
    write_results(name, report)
    for marker, table in tables.items():
        write_table(marker, table, report.machine, document)
    if in_json:
        print(as_json(report), end="")
        return
    for table in tables.values():
        show(table, report.machine)
