"""Publishes history again, all topics in event-time order, at a chosen multiple of real time."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from forebay.history.encode import Encode, encoder
from forebay.history.pace import Pace
from forebay.local.process import StackError
from forebay.pipelines.adapters.kafka.access import STARTING_S, Access, said
from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.adapters.kafka.producer import queue
from forebay.pipelines.contract.kafka.rekeying import routing_key
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.errors import BrokersUnavailable, SettingsError
from forebay.pipelines.history.load import History

ANSWER_S = 30.0
"""How long the brokers may take the last events."""

_LOOK_S = 0.1
"""How often the progress is shown while nothing is due."""


class Published(NamedTuple):
    """An event to publish."""

    event_ms: int
    topic: str
    key: bytes | None
    value: bytes


class Replayed(msgspec.Struct, frozen=True):
    """The result of a replay."""

    events: int
    first_ms: int
    last_ms: int
    wall_s: float
    behind_ms: float
    """Largest delay of the replay itself, ms of real time: more than a few say that the speed is too high."""


class Span(msgspec.Struct, frozen=True):
    """A part of history."""

    start_ms: int | None = None
    """Included; None: from the beginning."""
    end_ms: int | None = None
    """Excluded; None: to the end."""

    def __contains__(self, event_ms: int) -> bool:
        """Returns whether a time is in the span."""
        return (self.start_ms is None or event_ms >= self.start_ms) and (self.end_ms is None or event_ms < self.end_ms)


def replayed_events(plan: Plan, history: History, span: Span, registry: str = "") -> list[Published]:
    """Merges the events of every topic that has a history, in event-time order; per topic in order of arrival.

    Args:
        registry: address of the schema registry, for framed Avro events; empty: none.

    Raises:
        HistoryError: a file does not fit its topic's schema.
        SettingsError: nothing to replay, or framed Avro events without a schema for them.
        SchemasUnavailable: the registry does not answer.
    """
    topics = {source.topic: source for source in plan.sources if history.path(source).exists()}
    if not topics:
        raise SettingsError(f"{history.folder} has no history of any topic: one file <topic>.parquet each")
    streams = [_events(source, history, span, encoder(source, registry)) for source in topics.values()]
    events = list(heapq.merge(*streams, key=lambda event: event.event_ms))
    if not events:
        raise SettingsError(f"the history in {history.folder} has no event in that time: choose another start or end")
    return events


def _events(source: Source, history: History, span: Span, encode: Encode) -> Iterator[Published]:
    batch = history.events(source, source.key)
    columns = batch.columns()
    keys = [columns[name] for name in source.key]
    for at, event_ms in enumerate(batch.event_ms.tolist()):
        if event_ms in span:
            event = {name: values[at] for name, values in columns.items()}
            yield Published(event_ms, source.topic, _key([values[at] for values in keys]), encode(event))


def _key(values: Sequence[Any]) -> bytes | None:
    """Returns the record's key: a single text unchanged, else a JSON list; None if a part is null."""
    if not values or None in values:
        return None
    return values[0].encode() if len(values) == 1 and isinstance(values[0], str) else routing_key(values)


def publish(
    events: Sequence[Published], brokers: Brokers, speed: float, on_progress: Callable[[int, int, float], None]
) -> Replayed:
    """Publishes the events when they are due, and returns when the brokers have them all.

    Args:
        events: at least one, ordered by event time.
        speed: event seconds per second; 0: as fast as the brokers take them.
        on_progress: told (events published, event time in ms, ms behind schedule) now and then.

    Raises:
        StackError: the brokers refused an event.
        BrokersUnavailable: they did not answer in time.
    """
    failures: list[tuple[KafkaError, str]] = []
    access = Access(brokers)
    producer = Producer(
        access.config(
            {
                "enable.idempotence": True,
                "linger.ms": 1 if speed else 20,
                # The same partition as Java clients choose.
                "partitioner": "murmur2_random",
            }
        )
    )
    pace = Pace(events[0].event_ms, time.monotonic(), speed)
    behind_ms, shown_s = 0.0, 0.0
    for sent, event in enumerate(events):
        while (now_s := time.monotonic()) < pace.due_s(event.event_ms):
            producer.poll(min(_LOOK_S, pace.due_s(event.event_ms) - now_s))
            shown_s = time.monotonic()
            on_progress(sent, event.event_ms, behind_ms)
        behind_ms = max(behind_ms, pace.behind_ms(event.event_ms, now_s))
        _produce(producer, event, failures)
        if failures:
            break
        if now_s - shown_s >= _LOOK_S:
            shown_s = now_s
            on_progress(sent + 1, event.event_ms, behind_ms)
    deadline_s = time.monotonic() + ANSWER_S
    while (unsent := _flush(producer, events[0].topic, failures)) and not failures and time.monotonic() < deadline_s:
        access.check(STARTING_S)
    for error, topic in failures[:1]:
        why = said(error, f"write to topic {topic!r}")
        raise StackError(f"the brokers {brokers} did not take every event: {why}")
    if unsent:
        raise BrokersUnavailable(f"the brokers {brokers} did not take every event: no answer for {ANSWER_S:g} s")
    on_progress(len(events), events[-1].event_ms, behind_ms)
    return Replayed(len(events), events[0].event_ms, events[-1].event_ms, time.monotonic() - pace.started_s, behind_ms)


def _produce(producer: Producer, event: Published, failures: list[tuple[KafkaError, str]]) -> None:
    def delivered(error: KafkaError | None, message: Any) -> None:
        if error is not None:
            failures.append((error, message.topic()))

    try:
        queue(producer, delivered, event.topic, event.value, event.key)
    except KafkaException as error:  # the producer has ended
        failures.append((error.args[0], event.topic))
    producer.poll(0)


def _flush(producer: Producer, topic: str, failures: list[tuple[KafkaError, str]]) -> int:
    """Waits up to a second, and returns how many events the brokers have not taken."""
    try:
        return int(producer.flush(1.0))
    except KafkaException as error:  # the producer has ended, such as for want of the right to write
        failures.append((error.args[0], topic))
        return 0


def replay_with_progress(
    events: Sequence[Published], brokers: Brokers, speed: float, console: Console, title: str
) -> Replayed:
    """Runs `publish` with a progress bar that also shows the event time reached."""
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[reached]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=len(events), reached="")

        def show(sent: int, event_ms: int, behind_ms: float) -> None:
            reached = time.strftime("%Y-%m-%d %H:%M", time.gmtime(event_ms / 1_000)) + " UTC"
            late = f", {behind_ms / 1e3:.1f} s behind" if behind_ms > 1_000 else ""
            progress.update(task, completed=sent, reached=reached + late)

        return publish(events, brokers, speed, show)
