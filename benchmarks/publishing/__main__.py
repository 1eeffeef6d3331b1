"""Runs the benchmark: `python -m benchmarks.publishing`."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.layout.row_layouts import LAYOUTS
from benchmarks.layout.run import EXPIRY_TILES, EXPIRY_WINDOWS, Case, Effort, Measured, Shown, measure_all
from benchmarks.publishing.report import PublishingReport, WriteRow, throughput_table, writes_table
from benchmarks.shared.display import progress_display
from benchmarks.shared.machine import this_machine
from benchmarks.shared.plans import EIGHT_BY_THREE, EIGHT_FUNCTIONS
from benchmarks.shared.publish import publish
from benchmarks.shared.systems import Forebay, System
from benchmarks.stream.run import Contest, Limits, run_contests
from forebay.cli.error_line import error_line

EACH = "each"
PUBLISHED_MS = {EACH: 0, "every 1s": 1_000, "every 10s": 10_000, "never": None}
"""By the tag's value, the view's `publish_every_ms`."""


def contests() -> list[Contest]:
    """The same stream, published in different ways."""
    systems: list[System] = [
        Forebay(EIGHT_BY_THREE, name=name, publish_every_ms=every_ms) for name, every_ms in PUBLISHED_MS.items()
    ]
    return [Contest(each, each, systems) for each in ("zipf", "unique")]


def _write_row(case: Case, measured: Measured) -> WriteRow:
    return WriteRow(case.shown, case.windows * len(EIGHT_FUNCTIONS), measured.row_bytes, *measured.stay)


def main(
    events: Annotated[int, typer.Option(min=10_000, help="Events on each topic.")] = 1_000_000,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each tag, and of each kind of write.")] = 3,
    seconds: Annotated[float, typer.Option(min=1.0, help="Longest run, from its first progress.")] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure what the tag `publish` saves, and write the results."""
    cases = [Case(LAYOUTS[0], EXPIRY_TILES, windows, shown=shown) for windows in EXPIRY_WINDOWS for shown in Shown]
    with error_line():
        with progress_display() as display:
            measured = measure_all(Effort(rounds=5, repeats=repeats), cases, display, "writes")
            rows = run_contests(contests(), Limits(events, repeats, seconds), display)
        writes = list(map(_write_row, cases, measured))
        report = PublishingReport(this_machine(), rows, writes)
        tables = {"publishing": throughput_table(rows, EACH), "publishing-writes": writes_table(writes)}
        publish("publishing", report, tables, as_json)


if __name__ == "__main__":
    typer.run(main)
