"""Cost curves.

Throughput, the store's bytes per entity and the processor's memory, over processes, entities and tiles of a window.
Each point has a topic of its own, full of events before the processor starts.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.progress import Progress

from benchmarks.scaling.report import ScalingRow
from benchmarks.shared.backlog_run import work_off
from benchmarks.shared.backlogs import Backlog, by_entities, by_processes, by_tiles
from benchmarks.shared.display import completed
from benchmarks.shared.events import PARTITIONS, produce_events
from benchmarks.shared.systems import Run
from forebay.local.topics import create_topics
from forebay.local.valkey import Valkey
from tests.kafka.apache_kafka import apache_kafka

PROCESSES = (1, 2)
ENTITIES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
TILES = (1, 12, 24, 100, 288, 1_000)


def run_curves(events: int, largest: int, seconds: float, display: Progress) -> list[ScalingRow]:
    """Starts the servers, measures every point, and stops what it started."""
    makers = [
        # Twice as many: until all processes have their partitions, some of them are processed already.
        *(partial(by_processes, each, 2 * events) for each in PROCESSES),
        *(partial(by_entities, each, events) for each in ENTITIES if each <= largest),
        *(partial(by_tiles, each, events) for each in TILES),
    ]
    rows = []
    with apache_kafka() as kafka, Valkey() as store:
        task = display.add_task("points", total=len(makers))
        for at, make in enumerate(makers):
            backlog = make()
            with TemporaryDirectory(prefix="forebay-bench-", ignore_cleanup_errors=True) as folder:
                run = Run(f"scale{at}", kafka.bootstrap, store.address, f"payments.{at}", Path(folder))
                rows.append(_point(backlog, run, seconds, display))
            display.advance(task)
    return rows


def _point(backlog: Backlog, run: Run, seconds: float, display: Progress) -> ScalingRow:
    create_topics(run.brokers, {run.topic: PARTITIONS})
    count = len(backlog.events.cards)
    name = f"{backlog.curve}: {backlog.at:,}"
    task = display.add_task(f"{name}, producing", total=count)
    produce_events(run.brokers, run.topic, backlog.events, partial(completed, display, task))
    display.update(task, description=name)
    worked = work_off(backlog, run, seconds)
    return ScalingRow(
        *(backlog.curve, backlog.at, worked.rate.events_per_s, worked.rate.events, worked.rows),
        *(worked.store_bytes / max(1, worked.rows), worked.rss_bytes),
    )
