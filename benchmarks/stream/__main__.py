"""Runs the benchmark: `python -m benchmarks.stream`."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.shared.display import progress_display
from benchmarks.shared.machine import this_machine
from benchmarks.shared.publish import publish
from benchmarks.shared.report import Report
from benchmarks.stream.report import stream_table
from benchmarks.stream.run import Limits, contests, run_contests
from forebay.cli.error_line import error_line


def main(
    events: Annotated[int, typer.Option(min=10_000, help="Events on each topic.")] = 1_000_000,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each system on each workload.")] = 3,
    seconds: Annotated[float, typer.Option(min=1.0, help="Longest run, from its first progress.")] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure Forebay and its peers on one broker, and write the results."""
    with error_line():
        with progress_display() as display:
            rows = run_contests(contests(), Limits(events, repeats, seconds), display)
        publish("stream", Report(this_machine(), rows), {"stream": stream_table(rows)}, as_json)


if __name__ == "__main__":
    typer.run(main)
