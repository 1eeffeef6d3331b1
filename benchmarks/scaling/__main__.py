"""Runs the benchmark: `python -m benchmarks.scaling`."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.scaling.report import plot_curves, scaling_table
from benchmarks.scaling.run import run_curves
from benchmarks.shared.display import progress_display
from benchmarks.shared.machine import this_machine
from benchmarks.shared.publish import publish
from benchmarks.shared.report import PLOTS, Report
from forebay.cli.error_line import error_line


def main(
    events: Annotated[int, typer.Option(min=100_000, help="Events of each point, at least.")] = 1_000_000,
    entities: Annotated[int, typer.Option(min=10_000, help="Largest number of entities.")] = 1_000_000,
    seconds: Annotated[float, typer.Option(min=1.0, help="Longest run of a point.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure the cost curves, and write the results."""
    with error_line():
        with progress_display() as display:
            rows = run_curves(events, entities, seconds, display)
        plot_curves(rows, PLOTS)
        publish("scaling", Report(this_machine(), rows), {"scaling": scaling_table(rows)}, as_json)


if __name__ == "__main__":
    typer.run(main)
