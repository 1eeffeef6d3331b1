"""Runs the benchmark: `python -m benchmarks.freshness`."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.freshness.report import freshness_table
from benchmarks.freshness.run import WARM_UP_S, run_systems
from benchmarks.shared.display import progress_display
from benchmarks.shared.machine import this_machine
from benchmarks.shared.publish import publish
from benchmarks.shared.report import Report
from benchmarks.shared.stream_load import StreamLoad
from forebay.cli.error_line import error_line


def main(
    rate: Annotated[int, typer.Option(min=1_000, help="Events per second.")] = 20_000,
    seconds: Annotated[int, typer.Option(min=WARM_UP_S + 1, help="How long; the first 10 s are warm-up.")] = 70,
    probes: Annotated[int, typer.Option(min=1, max=500, help="Events per second that are watched.")] = 200,
    linger_ms: Annotated[float, typer.Option(min=0.0, help="The producer's: it counts.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure the time from event to row, and write the results."""
    with error_line():
        with progress_display() as display:
            rows = run_systems(StreamLoad(rate, seconds, probes, linger_ms=linger_ms), display)
        publish("freshness", Report(this_machine(), rows), {"freshness": freshness_table(rows)}, as_json)


if __name__ == "__main__":
    typer.run(main)
