"""From event to row.

Events arrive at a steady rate by a schedule made before; some of them, the probes, are of cards that nobody else pays
with, and another process watches for their rows in the store. A probe's time runs from when it was *due*.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from rich.progress import Progress, TaskID

from benchmarks.freshness.report import WORKLOAD, FreshnessRow
from benchmarks.shared.percentiles import percentiles_of
from benchmarks.shared.plans import EIGHT_BY_THREE
from benchmarks.shared.stream_load import StreamLoad
from benchmarks.shared.stream_run import Probes, Watch, stream_through
from benchmarks.shared.systems import Forebay, Peer, Run, System
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
