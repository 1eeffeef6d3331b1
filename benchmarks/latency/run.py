"""From event to prediction.

Events arrive at a steady rate; the feature processor folds each into its row, the worker waits for that (the
barrier), scores it, and commits; a read_committed consumer takes the time when the prediction arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
from rich.progress import Progress

from benchmarks.latency.report import LatencyRow
from benchmarks.shared.events import PARTITIONS
from benchmarks.shared.paced_producer import PacedProducer
from benchmarks.shared.percentiles import percentiles_of
from benchmarks.shared.plans import DUE_FIELD, scored_plan
from benchmarks.shared.prediction_reader import Arrival, PredictionReader
from benchmarks.shared.rate import MeasurementError
from benchmarks.shared.scored_model import write_model
from benchmarks.shared.systems import forebay_process
from forebay.definitions.topics import needed_topics
from forebay.local.process import ChildProcess
from forebay.local.topics import create_topics
from forebay.local.valkey import Valkey
from forebay.pipelines.contract.plan.plan_file import write_plan
from tests.kafka.apache_kafka import apache_kafka

DELIVERIES = ("exactly_once", "at_least_once")
WARM_UP_S = 10
START_TIMEOUT_S = 90.0
START_EVENTS = 60
DRAIN_TIMEOUT_S = 30.0


class Load(NamedTuple):
    """How much is produced."""

    rate: int
    """Events per second."""
    seconds: int
    """The warm-up included."""


class Received(msgspec.Struct):
    """What is needed of a prediction."""

    request: dict[str, int]
    barrier_met: bool


_decoder = msgspec.json.Decoder(Received)


class Servers(NamedTuple):
    """Addresses."""

    brokers: str
    store: str


def run_deliveries(load: Load, display: Progress) -> list[LatencyRow]:
    """Starts the servers, measures each delivery guarantee, and stops what it started."""
    rows = []
    with apache_kafka() as kafka, Valkey() as store:
        task = display.add_task("measuring", total=len(DELIVERIES))
        for delivery in DELIVERIES:
            display.update(task, description=f"{delivery}: {load.rate:,} events/s for {load.seconds} s")
            with TemporaryDirectory(prefix="forebay-bench-", ignore_cleanup_errors=True) as folder:
                arrivals, start_us = _run(delivery, Servers(kafka.bootstrap, store.address), load, Path(folder))
            rows.append(_row(delivery, load, arrivals, start_us + WARM_UP_S * 1_000_000))
            display.advance(task)
    return rows


def _run(delivery: str, servers: Servers, load: Load, folder: Path) -> tuple[list[Arrival], int]:
    """All arrivals, and when the schedule began."""
    topic, output = f"payments.{delivery}", f"predictions.{delivery}"
    plan = scored_plan(f"bench_{delivery}", topic)
    write_plan(plan, folder / "plan.msgpack")
    create_topics(servers.brokers, {**needed_topics(plan, PARTITIONS), output: PARTITIONS})
    processes = _processes(folder, servers, delivery, topic, output)

    def check_running() -> None:
        for process in processes:
            process.check_running()

    producer = PacedProducer(servers.brokers, topic)
    with PredictionReader(servers.brokers, output) as reader:
        try:
            for process in processes:
                process.start()
            before = wait_until_warm(producer, reader, check_running)
            count = load.rate * load.seconds
            start_us = producer.produce(load.rate, count)
            reader.wait_for(before + count, DRAIN_TIMEOUT_S, check_running)
        finally:
            for process in processes:
                process.kill()  # measured: nothing needs an orderly end
    return reader.arrivals, start_us


def wait_until_warm(producer: PacedProducer, reader: PredictionReader, check_running: Callable[[], None]) -> int:
    """Sends single events until one was scored with its own features: starting up is not measured.

    Returns:
        How many events it took; the worker waits a second for the features of each.
    """
    for sent in range(1, START_EVENTS + 1):
        producer.produce_one()
        reader.wait_for(sent, START_TIMEOUT_S, check_running)
        if _decoder.decode(reader.arrivals[-1].value).barrier_met:
            return sent
    raise MeasurementError(f"after {START_EVENTS} events the feature processor has still not begun")


def _processes(folder: Path, servers: Servers, delivery: str, topic: str, output: str) -> list[ChildProcess]:
    plan_file, model = folder / "plan.msgpack", write_model(folder / "models")
    scoring = ("--model", str(model), "--topic", topic, "--output", output, "--delivery", delivery)
    return [
        forebay_process("process", folder, plan_file, *servers),
        forebay_process("score", folder, plan_file, *servers, *scoring),
    ]


def measured_us(arrivals: Iterable[Arrival], from_us: int) -> list[int]:
    """How long each event that was due after the warm-up took to its prediction, in microseconds."""
    due = [(arrival.received_us, _decoder.decode(arrival.value).request[DUE_FIELD]) for arrival in arrivals]
    return [received_us - due_us for received_us, due_us in due if due_us >= from_us]


def _row(delivery: str, load: Load, arrivals: Sequence[Arrival], from_us: int) -> LatencyRow:
    """Percentiles over the events that were due after the warm-up."""
    predictions = [(arrival, _decoder.decode(arrival.value)) for arrival in arrivals]
    met = sum(each.barrier_met for _, each in predictions if each.request[DUE_FIELD] >= from_us)
    latencies_us = measured_us(arrivals, from_us)
    times = percentiles_of(latencies_us)
    return LatencyRow(delivery, load.rate, len(latencies_us), *times, met / len(latencies_us))
