"""Many seeds, some side by side: `python -m tests.faults --seeds 200 --from 1 --jobs 2`."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.shared.report import RESULTS
from forebay.cli.error_line import error_line
from forebay.pipelines.errors import SettingsError
from tests.e2e.place import compiled_place
from tests.faults.jobs import run_seeds
from tests.faults.result import FaultsReport, SeedResult, report_of
from tests.faults.run import run_seed
from tests.faults.schedule import draw
from tests.kafka.apache_kafka import unavailable

NO_STORE = "127.0.0.1:1"
"""Every seed has a store of its own."""


def main(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 20,
    first: Annotated[int, typer.Option("--from", min=0, help="The first one; the others follow it.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="How many side by side, each on a broker of its own.")] = 1,
    out: Annotated[Path, typer.Option(help="Where the result is written.")] = RESULTS / "faults.json",
) -> None:
    """Run random schedules of faults on real processes, and compare every row with the oracle."""
    console = Console()
    with error_line(), TemporaryDirectory() as folder:
        if reason := unavailable():
            raise SettingsError(reason)
        place = compiled_place(NO_STORE, Path(folder))
        begun = time.monotonic()
        results: list[SeedResult] = []
        with (
            Progress(console=console) as progress,
            closing(run_seeds(range(first, first + seeds), jobs, place, run_seed)) as arriving,
        ):
            task = progress.add_task(f"{seeds} seeds", total=seeds)
            for result in arriving:
                results.append(result)
                progress.advance(task)
                if result.failure or result.unjudged:
                    _show(progress.console, result)
    report = report_of(results, jobs, time.monotonic() - begun)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    console.print(_table(report))
    sys.exit(1 if report.failed or report.unjudged else 0)


def _show(console: Console, result: SeedResult) -> None:
    what = "failed" if result.failure else "could not be judged"
    console.print(f"seed {result.seed} {what}; again: make faults SEEDS=1 FROM={result.seed}", style="bold red")
    schedule = draw(result.seed)
    for step in schedule.steps:
        console.print(f"  {step}", highlight=False)
    console.print(f"  in the end: {schedule.ending or 'nothing more'}", highlight=False)
    console.print(f"{result.failure or result.unjudged}\n{result.details}", markup=False, highlight=False)


def _table(report: FaultsReport) -> Table:
    total = f"{report.passed} of {len(report.seeds)} seeds passed"
    if report.unjudged:
        total += f", {report.unjudged} could not be judged"
    counted = f"{report.events:,} events, {report.rows:,} rows compared, {report.routed_duplicates:,} routed duplicates"
    table = Table("what went wrong", "times", title=f"{total}: {counted}, {report.seconds:.0f} s")
    for what, times in [*report.faults.items(), *report.endings.items()]:
        table.add_row(what, str(times))
    return table


if __name__ == "__main__":
    typer.run(main)
