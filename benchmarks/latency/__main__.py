"""Runs the benchmark: `python -m benchmarks.latency`."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.latency.report import latency_table
from benchmarks.latency.run import WARM_UP_S, Load, run_deliveries
from benchmarks.shared.display import progress_display
from benchmarks.shared.machine import this_machine
from benchmarks.shared.publish import publish
from benchmarks.shared.report import Report
from forebay.cli.error_line import error_line


def main(
    rate: Annotated[int, typer.Option(min=1, help="Events per second.")] = 1_000,
    seconds: Annotated[int, typer.Option(min=WARM_UP_S + 1, help="How long; the first 10 s are warm-up.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure the time from event to prediction, and write the results."""
    with error_line():
        with progress_display() as display:
            rows = run_deliveries(Load(rate, seconds), display)
        publish("latency", Report(this_machine(), rows), {"latency": latency_table(rows)}, as_json)


if __name__ == "__main__":
    typer.run(main)
