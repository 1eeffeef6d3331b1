"""A partition that moves to another worker while its batch is read, or is in flight, is scored once all the same."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from forebay.local.topics import create_topics
from forebay.serving.worker.clients import Clients
from forebay.serving.worker.commit import TransactionalCommitter
from forebay.serving.worker.in_flight import InFlight
from forebay.serving.worker.loop import Worker
from forebay.serving.worker.outgoing import OutgoingRecord
from forebay.serving.worker.settings import WorkerSettings
from tests.e2e.broker import Outgoing, members_missing, produce, read_topic, until
from tests.kafka.apache_kafka import ApacheKafka
from tests.support.told_consumer import ToldConsumer

pytestmark = pytest.mark.kafka

PARTITIONS = 2


class RebalancedInABatch(ToldConsumer):
    """A consumer whose first batch is interrupted by a rebalance, after its first record has been read."""

    def __init__(self, inner: Any, read_first: threading.Event, revoked: threading.Event) -> None:
        super().__init__(inner, lambda _: None, lambda _: revoked.set())
        self._read_first = read_first
        self._revoked = revoked

    def poll(self, timeout: float) -> Message | None:
        message: Message | None = self._inner.poll(timeout)
        while message is None and self._read_first.is_set() and not self._revoked.is_set():
            message = self._inner.poll(0.1)
        if message is not None and not message.error():
            self._read_first.set()
        return message


def end(workers: Sequence[Worker], threads: Sequence[threading.Thread]) -> None:
    """Tells workers to stop, and waits for their threads."""
    for worker in workers:
        worker.stop()
    for thread in threads:
        if thread.ident:
            thread.join(20)


def committed(brokers: str, group: str, topic: str) -> dict[int, int]:
    """What a group has committed, by partition that it has committed at all."""
    asker = Consumer({"bootstrap.servers": brokers, "group.id": group})
    try:
        found = asker.committed([TopicPartition(topic, at) for at in range(PARTITIONS)], 10)
        return {each.partition: each.offset for each in found if each.offset >= 0}
    finally:
        asker.close()


def interrupted(read_first: threading.Event, revoked: threading.Event) -> Clients:
    """Makes the clients of a worker whose first batch is interrupted."""

    def consumer(config: dict[str, Any]) -> Any:
        return RebalancedInABatch(Consumer(config), read_first, revoked)

    return Clients(consumer=consumer)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_records_that_were_read_before_their_partition_moved_are_left_to_its_next_owner(
    kafka: ApacheKafka, delivery: Literal["exactly_once", "at_least_once"]
) -> None:
    topic, output, group = (f"moving.{delivery}.{each}" for each in ("events", "predictions", "group"))
    create_topics(kafka.bootstrap, {topic: PARTITIONS, output: PARTITIONS})
    asked = WorkerSettings(kafka.bootstrap, topic, group, delivery=delivery, session_timeout_ms=6_000)
    read_first, revoked = threading.Event(), threading.Event()

    def echo(messages: Sequence[Message]) -> list[OutgoingRecord]:
        return [OutgoingRecord(output, each.key(), each.value(), []) for each in messages]

    def values() -> list[bytes]:
        return sorted(message.value() for message in read_topic(kafka.bootstrap, output))

    first, second = Worker(asked, echo, interrupted(read_first, revoked)), Worker(asked, echo)
    threads = [threading.Thread(target=worker.run) for worker in (first, second)]
    threads[0].start()
    try:
        until(lambda: members_missing(kafka.bootstrap, group, 1) is None, 30, "the first worker")
        sent = [b"%d" % at for at in range(PARTITIONS)]
        produce(kafka.bootstrap, topic, [Outgoing(at, value, value) for at, value in enumerate(sent)])
        assert read_first.wait(30)
        threads[1].start()
        until(lambda: len(values()) >= PARTITIONS, 30, "all predictions")
        # Whatever the first worker may still write twice comes before what is sent now.
        produce(kafka.bootstrap, topic, [Outgoing(at, b"end", b"end") for at in range(PARTITIONS)])
        until(lambda: values().count(b"end") == PARTITIONS, 30, "the last predictions")
        assert values() == [*sent, *[b"end"] * PARTITIONS]
    finally:
        end((first, second), threads)


def test_what_is_in_flight_is_committed_before_its_partition_goes(
    kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit lasts until the rebalance has begun."""
    topic, group = "moving.in.flight", "moving.in.flight.group"
    create_topics(kafka.bootstrap, {topic: PARTITIONS})
    asked = WorkerSettings(kafka.bootstrap, topic, group, session_timeout_ms=6_000)
    committing, revoking = threading.Event(), threading.Event()
    commit, give_up = TransactionalCommitter.commit, InFlight.revoked

    def late(self: Any, *batch: Any) -> bool:
        if not committing.is_set():
            committing.set()
            assert revoking.wait(30)
        return commit(self, *batch)

    def told(self: Any, partitions: set[int]) -> None:
        revoking.set()
        give_up(self, partitions)

    monkeypatch.setattr(TransactionalCommitter, "commit", late)
    monkeypatch.setattr(InFlight, "revoked", told)
    seen: Counter[tuple[int, int]] = Counter()

    def nothing(messages: Sequence[Message]) -> list[OutgoingRecord]:
        seen.update((int(each.partition() or 0), int(each.offset() or 0)) for each in messages)
        return []

    first, second = Worker(asked, nothing), Worker(asked, nothing)
    threads = [threading.Thread(target=worker.run) for worker in (first, second)]
    produce(kafka.bootstrap, topic, [Outgoing(at, b"1", b"1") for at in range(PARTITIONS)])
    threads[0].start()
    try:
        assert committing.wait(30)
        threads[1].start()
        until(lambda: members_missing(kafka.bootstrap, group, 2) is None, 30, "a partition for each")
        produce(kafka.bootstrap, topic, [Outgoing(at, b"2", b"2") for at in range(PARTITIONS)])
        until(lambda: committed(kafka.bootstrap, group, topic).keys() == {0, 1}, 30, "both partitions")
        until(lambda: len(seen) == 2 * PARTITIONS, 30, "all records")
        assert set(seen.values()) == {1}
    finally:
        revoking.set()
        end((first, second), threads)
