"""A worker that finds a topic full of events: how many predictions a second, in how much memory."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from benchmarks.scoring.cpu_time import CpuTime
from benchmarks.scoring.feature_sets import FEATURE_SETS
from benchmarks.scoring.report import BacklogRow
from benchmarks.scoring.systems import System, Task
from benchmarks.shared.backlog_run import Memory
from benchmarks.shared.backlogs import spread
from benchmarks.shared.events import PARTITIONS, Events, card_ids, produce_events
from benchmarks.shared.prediction_reader import PredictionReader
from benchmarks.shared.rate import MeasurementError, rate_of, watch
from benchmarks.shared.systems import progress_count
from forebay.local.topics import create_topics

SPAN_MS = 10 * 60_000
"""Event time of the backlog: within the horizon of every row, so that no window is incomplete."""

LONGEST_S = 300.0


class _Id(msgspec.Struct):
    id: str


_decoder = msgspec.json.Decoder(_Id)


def produce_backlog(brokers: str, topic: str, count: int) -> None:
    """Fills a topic with payments of cards by Zipf."""
    create_topics(brokers, {topic: PARTITIONS})
    produce_events(brokers, topic, Events(card_ids("zipf", count), spread(count, SPAN_MS)), lambda _count: None)


def work_off(system: System, name: str, features: int, servers: tuple[str, str], topic: str, count: int) -> BacklogRow:
    """Computes the features of the whole topic first, and then scores it; every event must be scored once.

    Args:
        name: of the run, unique.
        servers: addresses of the brokers and of the store.

    Raises:
        MeasurementError: a prediction is missing, or there twice.
    """
    brokers, store = servers
    output = f"{name}.predictions"
    create_topics(brokers, {output: PARTITIONS})
    with TemporaryDirectory(prefix="forebay-bench-", ignore_cleanup_errors=True) as folder:
        task = Task(name, brokers, store, topic, output, FEATURE_SETS[features], Path(folder))
        _feed(system, task, count)
        process = system.scorer(task)
        memory, cpu = Memory([process]), CpuTime(process)
        with PredictionReader(brokers, output) as reader:
            try:
                started_s = time.monotonic()
                process.start()

                def look() -> None:
                    memory.look()
                    cpu.look(len(reader.arrivals))

                samples = watch(lambda: len(reader.arrivals), count, LONGEST_S, look)
                cpu.look(len(reader.arrivals))
            finally:
                process.kill()  # measured: nothing needs an orderly end
        ids = [_decoder.decode(each.value).id for each in reader.arrivals]
    if len(ids) != count or len(set(ids)) != count:
        raise MeasurementError(f"{system.name}: {len(ids)} predictions, {len(set(ids))} ids, of {count} events")
    first_s = samples[0].at_s - started_s
    rate = rate_of(samples).events_per_s
    return BacklogRow(system.name, features, rate, cpu.per_prediction_us(), first_s, memory.highest_bytes, count)


def _feed(system: System, task: Task, count: int) -> None:
    feeder = system.feeder(task)
    if feeder is None:
        return
    processed = progress_count(task.name, task.topic, task.aggregations, task.brokers, task.redis)
    try:
        feeder.start()
        watch(processed, count, LONGEST_S, feeder.check_running)
    finally:
        feeder.kill()
