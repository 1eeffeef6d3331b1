"""Runs the benchmark: `python -m benchmarks.layout`."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.layout.report import (
    LayoutReport,
    expiry_table,
    horizon_table,
    layout_table,
)
from benchmarks.layout.row_layouts import LAYOUTS
from benchmarks.layout.run import (
    EXPIRE_MS,
    EXPIRY_TILES,
    EXPIRY_WINDOWS,
    HORIZONS_MS,
    TILES,
    Case,
    Effort,
    expiry_row,
    horizon_row,
    layout_row,
    measure_all,
)
from benchmarks.shared.display import progress_display
from benchmarks.shared.machine import this_machine
from benchmarks.shared.publish import publish
from forebay.cli.error_line import error_line


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Updates of every row, of each kind, in one repeat.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of each layout.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure what rows cost in the store, and write the results."""
    effort = Effort(rounds, repeats)
    layouts = [Case(layout, tiles) for tiles in TILES for layout in LAYOUTS]
    expiries = [Case(LAYOUTS[0], EXPIRY_TILES, windows, ms) for windows in EXPIRY_WINDOWS for ms in (0, EXPIRE_MS)]
    horizons = [Case(LAYOUTS[0], EXPIRY_TILES, 1, horizon_ms=ms) for ms in HORIZONS_MS]
    with error_line():
        with progress_display() as display:
            by_layout = measure_all(effort, layouts, display, "layouts")
            by_expiry = measure_all(effort, expiries, display, "expiry")
            by_horizon = measure_all(effort, horizons, display, "horizon")
        layout_rows = list(map(layout_row, layouts, by_layout))
        expiry_rows = list(map(expiry_row, expiries, by_expiry))
        horizon_rows = list(map(horizon_row, horizons, by_horizon))
        report = LayoutReport(this_machine(), layout_rows, expiry_rows, horizon_rows)
        tables = {
            "layout": layout_table(layout_rows),
            "expiry": expiry_table(expiry_rows),
            "horizon": horizon_table(horizon_rows),
        }
        publish("layout", report, tables, as_json)


if __name__ == "__main__":
    typer.run(main)
