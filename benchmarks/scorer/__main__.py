"""The command of the scorer's benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.scorer.report import scorer_table
from benchmarks.scorer.run import run_builds
from benchmarks.shared.display import progress_display
from benchmarks.shared.machine import this_machine
from benchmarks.shared.publish import publish
from benchmarks.shared.report import Report
from forebay.cli.error_line import error_line


def main(
    seconds: Annotated[float, typer.Option(min=0.1, help="Of one case of one build in one turn.")] = 0.5,
    repeats: Annotated[int, typer.Option(min=1, help="Turns of every build.")] = 3,
    before: Annotated[Path | None, typer.Option(help="Another checkout, to be measured too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure the scorer in process, and write the results."""
    with error_line():
        with progress_display() as display:
            rows = run_builds(seconds, repeats, before, display)
        publish("scorer", Report(this_machine(), rows), {"scorer": scorer_table(rows)}, as_json)


if __name__ == "__main__":
    typer.run(main)
