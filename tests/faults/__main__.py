"""Many seeds, one after another: `python -m tests.faults --seeds 200 --from 1`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.machine import Machine, this_machine
from benchmarks.report import RESULTS
from forebay.error_line import error_line
from forebay.stack.valkey import Valkey
from pipelines.errors import SettingsError
from tests.e2e.place import payments_place
from tests.faults.run import SeedResult, run_seed
from tests.faults.schedule import draw
from tests.kafka.apache_kafka import ApacheKafka, apache_kafka, unavailable


class FaultsReport(msgspec.Struct, frozen=True):
    """`faults.json`."""

    machine: Machine
    passed: int
    failed: int
    events: int
    rows: int
    """Compared with the oracle, over all seeds."""
    faults: dict[str, int]
    seeds: list[SeedResult]


def report_of(results: list[SeedResult]) -> FaultsReport:
    """The sum of all seeds."""
    failed = sum(bool(each.failure) for each in results)
    faults: Counter[str] = Counter()
    for each in results:
        faults.update(each.faults)
    events, rows = sum(each.events for each in results), sum(each.rows for each in results)
    return FaultsReport(
        this_machine(), len(results) - failed, failed, events, rows, dict(sorted(faults.items())), results
    )


def main(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 20,
    first: Annotated[int, typer.Option("--from", min=0, help="The first one; the others follow it.")] = 1,
    out: Annotated[Path, typer.Option(help="Where the result is written.")] = RESULTS / "faults.json",
) -> None:
    """Run random schedules of faults on real processes, and compare every row with the oracle."""
    console = Console()
    results: list[SeedResult] = []
    with error_line(), _broker() as broker, Valkey() as store, TemporaryDirectory() as folder:
        place = payments_place(broker.bootstrap, store.address, Path(folder))
        with Progress(console=console) as progress:
            task = progress.add_task("seeds", total=seeds)
            for seed in range(first, first + seeds):
                progress.update(task, description=f"seed {seed}")
                results.append(run_seed(seed, place, broker))
                progress.advance(task)
                if results[-1].failure:
                    _show_failure(progress.console, results[-1])
    report = report_of(results)
    kept = msgspec.structs.replace(report, seeds=[msgspec.structs.replace(each, details="") for each in results])
    out.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
    console.print(_table(report))
    sys.exit(1 if report.failed else 0)


def _broker() -> ApacheKafka:
    if reason := unavailable():
        raise SettingsError(reason)
    return apache_kafka()


def _show_failure(console: Console, result: SeedResult) -> None:
    console.print(f"seed {result.seed} failed; again: make faults SEEDS=1 FROM={result.seed}", style="bold red")
    for step in draw(result.seed):
        console.print(f"  {step}", highlight=False)
    console.print(f"{result.failure}\n{result.details}", markup=False, highlight=False)


def _table(report: FaultsReport) -> Table:
    total = f"{report.passed} of {report.passed + report.failed} seeds passed"
    table = Table("fault", "times", title=f"{total}: {report.events:,} events, {report.rows:,} rows compared")
    for fault, times in report.faults.items():
        table.add_row(fault, str(times))
    return table


if __name__ == "__main__":
    typer.run(main)
