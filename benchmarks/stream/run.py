"""Throughput of eight windowed aggregations, side by side.

Every system reads the same topic of the same broker, one process each, one system at a time. The order
rotates from repeat to repeat, so that nobody always runs on the machine the other one has warmed up.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.progress import Progress

from benchmarks.shared.display import completed
from benchmarks.shared.events import PARTITIONS, Distribution, produce_all
from benchmarks.shared.plans import EIGHT, EIGHT_BY_THREE
from benchmarks.shared.rate import Rate, rate_of, watch
from benchmarks.shared.systems import Forebay, Run, System, peers
from benchmarks.stream.report import StreamRow
from forebay.local.topics import create_topics
from forebay.local.valkey import Valkey
from tests.kafka.apache_kafka import apache_kafka


class Contest(NamedTuple):
    """Systems that do the same work on the same topic."""

    workload: str
    """As the report calls it."""
    distribution: Distribution
    systems: list[System]


class Limits(NamedTuple):
    """How much is measured."""

    events: int
    """On each topic."""
    repeats: int
    seconds: float
    """Longest run, from its first progress."""


def contests() -> list[Contest]:
    """What is measured; no peer takes part in the last two."""
    return [
        Contest("zipf: 8 functions, 1 h", "zipf", [Forebay(EIGHT), *peers()]),
        Contest("unique: 8 functions, 1 h", "unique", [Forebay(EIGHT), *peers()]),
        Contest("zipf: 8 functions x 3 windows", "zipf", [Forebay(EIGHT_BY_THREE)]),
        Contest("unique: 8 functions x 3 windows", "unique", [Forebay(EIGHT_BY_THREE)]),
    ]


def run_contests(all_contests: Sequence[Contest], limits: Limits, display: Progress) -> list[StreamRow]:
    """Starts the servers, fills the topics, measures everything, and stops what it started."""
    with apache_kafka() as kafka, Valkey() as store:
        topics = _fill_topics(kafka.bootstrap, limits.events, display)
        results: dict[tuple[str, str], list[Rate]] = defaultdict(list)
        turns = list(_turns(all_contests, limits.repeats))
        task = display.add_task("measuring", total=len(turns))
        for at, (contest, system) in enumerate(turns):
            display.update(task, description=f"{system.name}: {contest.workload}")
            rate = _measure(system, f"bench{at}", kafka.bootstrap, store.address, topics[contest.distribution], limits)
            results[system.name, contest.workload].append(rate)
            display.console.print(f"{system.name}: {contest.workload}: {rate.events_per_s:,.0f} events/s", style="dim")
            display.advance(task)
    return _rows(results, [contest.workload for contest in all_contests])


def _fill_topics(brokers: str, events: int, display: Progress) -> dict[Distribution, str]:
    distributions: tuple[Distribution, ...] = ("zipf", "unique")
    topics = {each: f"payments.{each}" for each in distributions}
    create_topics(brokers, dict.fromkeys(topics.values(), PARTITIONS))
    for distribution, topic in topics.items():
        task = display.add_task(f"producing {topic}", total=events)
        produce_all(brokers, topic, distribution, events, partial(completed, display, task))
    return topics


def _turns(all_contests: Sequence[Contest], repeats: int) -> Iterator[tuple[Contest, System]]:
    for repeat in range(repeats):
        for contest in all_contests:
            first = repeat % len(contest.systems)
            for system in (*contest.systems[first:], *contest.systems[:first]):
                yield contest, system


def _measure(system: System, name: str, brokers: str, store: str, topic: str, limits: Limits) -> Rate:
    with TemporaryDirectory(prefix="forebay-bench-", ignore_cleanup_errors=True) as folder:
        process, processed = system.prepare(Run(name, brokers, store, topic, Path(folder)))
        try:
            process.start()
            return rate_of(watch(processed, limits.events, limits.seconds, process.check_running))
        finally:
            process.kill()  # measured: nothing needs an orderly end


def _rows(results: Mapping[tuple[str, str], Sequence[Rate]], workloads: Sequence[str]) -> list[StreamRow]:
    rows = []
    for (system, workload), rates in results.items():
        speeds = [rate.events_per_s for rate in rates]
        events = int(statistics.median(rate.events for rate in rates))
        median = statistics.median(speeds)
        rows.append(StreamRow(system, workload, median, min(speeds), max(speeds), len(rates), events))
    return sorted(rows, key=lambda row: (workloads.index(row.workload), row.events_per_s))
