"""From an event that is due to its prediction, while the features are computed from the same stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.latency.run import DRAIN_TIMEOUT_S, WARM_UP_S, measured_us, wait_until_warm
from benchmarks.scoring.feature_sets import FEATURE_SETS
from benchmarks.scoring.report import ScoringLatencyRow
from benchmarks.scoring.systems import System, Task
from benchmarks.shared.events import PARTITIONS
from benchmarks.shared.paced_producer import PacedProducer
from benchmarks.shared.percentiles import percentiles_of
from benchmarks.shared.prediction_reader import PredictionReader
from forebay.local.topics import create_topics


def measure(
    system: System, name: str, features: int, servers: tuple[str, str], rate: int, seconds: int
) -> ScoringLatencyRow:
    """Produces at a steady rate, and takes the time of every prediction after the warm-up.

    Args:
        name: of the run, unique.
        servers: addresses of the brokers and of the store.

    Raises:
        MeasurementError: predictions are missing `DRAIN_TIMEOUT_S` after the last event.
    """
    brokers, store = servers
    topic, output = f"{name}.payments", f"{name}.predictions"
    create_topics(brokers, {topic: PARTITIONS, output: PARTITIONS})
    with TemporaryDirectory(prefix="forebay-bench-", ignore_cleanup_errors=True) as folder:
        task = Task(name, brokers, store, topic, output, FEATURE_SETS[features], Path(folder))
        feeder = system.feeder(task)
        processes = [each for each in (feeder, system.scorer(task)) if each is not None]

        def check_running() -> None:
            for process in processes:
                process.check_running()

        producer = PacedProducer(brokers, topic)
        with PredictionReader(brokers, output) as reader:
            try:
                for process in processes:
                    process.start()
                before = _warm(producer, reader, check_running, feeder is not None)
                start_us = producer.produce(rate, rate * seconds)
                reader.wait_for(before + rate * seconds, DRAIN_TIMEOUT_S, check_running)
            finally:
                for process in processes:
                    process.kill()  # measured: nothing needs an orderly end
        times_us = measured_us(reader.arrivals, start_us + WARM_UP_S * 1_000_000)
    return ScoringLatencyRow(system.name, features, rate, *percentiles_of(times_us), len(times_us))


def _warm(producer: PacedProducer, reader: PredictionReader, check_running: Callable[[], None], fed: bool) -> int:
    """How many events it took until all processes work. Where nothing computes features, nothing is waited for."""
    if fed:
        return wait_until_warm(producer, reader, check_running)
    producer.produce_one()
    reader.wait_for(1, DRAIN_TIMEOUT_S, check_running)
    return 1
