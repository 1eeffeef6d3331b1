"""The command of the endpoint's benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.endpoint.report import endpoint_table, start_table
from benchmarks.endpoint.run import Turns, run_cases
from benchmarks.shared.display import progress_display
from benchmarks.shared.machine import this_machine
from benchmarks.shared.publish import publish
from benchmarks.shared.report import Report
from forebay.cli.error_line import error_line


def main(
    seconds: Annotated[float, typer.Option(min=1, help="Of one case on one server in one turn.")] = 8,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of every case and server.")] = 2,
    before: Annotated[Path | None, typer.Option(help="Another checkout, to be measured too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure the endpoint beside the plain program, and write the results."""
    with error_line():
        with progress_display() as display:
            found = run_cases(Turns(seconds, repeats), before, display)
        tables = {"endpoint": endpoint_table(found.loads), "endpoint-start": start_table(found.starts)}
        publish("endpoint", Report(this_machine(), [found]), tables, as_json)


if __name__ == "__main__":
    typer.run(main)
