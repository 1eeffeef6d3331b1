"""Runs the benchmark: `python -m benchmarks.profile`."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.profile.report import function_table, step_table
from benchmarks.profile.run import PROFILE, run_workloads
from benchmarks.shared.display import progress_display
from benchmarks.shared.machine import this_machine
from benchmarks.shared.publish import publish
from benchmarks.shared.report import Report
from forebay.cli.error_line import error_line


def main(
    events: Annotated[int, typer.Option(min=10_000, help="Events on each topic.")] = 2_000_000,
    seconds: Annotated[int, typer.Option(min=1, help="How long each workload is looked at.")] = 15,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Profile the feature processor, and write the results."""
    with error_line():
        with progress_display() as display:
            by_workload = run_workloads(events, seconds, display)
        rows = [row for each in by_workload.values() for row in each]
        tables = {"profile-steps": step_table(rows)}
        tables |= {f"profile-{workload}": function_table(each) for workload, each in by_workload.items()}
        publish("profile", Report(this_machine(), rows), tables, as_json, PROFILE)


if __name__ == "__main__":
    typer.run(main)
