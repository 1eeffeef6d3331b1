"""From event to row: `python -m benchmarks.freshness`.

Events arrive at a steady rate by a schedule made before; some of them, the probes, are of cards that nobody else pays
with, and another process watches for their rows in the store. A probe's time runs from when it was *due*.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from benchmarks.display import progress_display
from benchmarks.freshness_report import WORKLOAD, FreshnessRow, freshness_table
from benchmarks.freshness_run import Probes, Watch, stream_through
from benchmarks.machine import this_machine
from benchmarks.percentiles import percentiles_of
from benchmarks.plans import EIGHT_BY_THREE
from benchmarks.publish import publish
from benchmarks.report import Report
from benchmarks.stream_load import StreamLoad
from benchmarks.systems import Forebay, Peer, Run, System
from forebay.cli.error_line import error_line
from forebay.local.process import ChildProcess
from forebay.local.valkey import Valkey
from tests.kafka.apache_kafka import apache_kafka

WARM_UP_S = 10


def systems() -> list[System]:
    """Side by side: the ceiling first, so that Forebay gets the machine the other has warmed up, and its page cache."""
    return [Peer("ceiling: plain rows", "plain_rows"), Forebay(EIGHT_BY_THREE)]


def run_systems(load: StreamLoad, display: Progress) -> list[FreshnessRow]:
    """Starts the servers, measures each system, and stops what it started."""
    rows = []
    with apache_kafka() as kafka, Valkey() as store:
        for at, system in enumerate(systems()):
            task = display.add_task(f"{system.name}: {load.rate:,} events/s", total=load.seconds)
            with TemporaryDirectory(prefix="forebay-bench-", ignore_cleanup_errors=True) as folder:
                run = Run(f"fresh{at}", kafka.bootstrap, store.address, f"payments.{at}", Path(folder))
                probes = stream_through(system, run, load, _clock(display, task))
            rows.append(freshness_row(system.name, load, probes))
            display.update(task, completed=load.seconds)
    return rows


def _clock(display: Progress, task: TaskID) -> Watch:
    """Shows how much of the stream is over."""

    def show_elapsed(_process: ChildProcess, elapsed_s: float) -> None:
        display.update(task, completed=max(0, int(elapsed_s)))

    return show_elapsed


def freshness_row(system: str, load: StreamLoad, probes: Probes) -> FreshnessRow:
    """Percentiles over the probes that were due after the warm-up."""
    measured = probes.due_us >= probes.due_us[0] + WARM_UP_S * 1_000_000
    due_us, sent_us, seen_us = (each[measured] for each in probes)
    times = percentiles_of(seen_us - due_us)
    late = percentiles_of(sent_us - due_us)
    rate = (len(sent_us) - 1) * load.probe_every / ((sent_us[-1] - sent_us[0]) / 1e6)
    return FreshnessRow(system, WORKLOAD, float(rate), len(due_us), *times, late.p99)


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
