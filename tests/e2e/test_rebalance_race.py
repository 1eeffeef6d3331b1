"""A partition that moves to another worker while its batch is being scored is scored once all the same."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from forebay.local.topics import create_topics
from forebay.serving.worker.events import OutgoingRecord
from forebay.serving.worker.loop import Worker
from forebay.serving.worker.settings import WorkerSettings
from tests.e2e.broker import Outgoing, members_missing, produce, read_topic, until
from tests.kafka.apache_kafka import ApacheKafka

pytestmark = pytest.mark.kafka

GROUP, SCORED, OUTPUT = "moving", "moving.events", "moving.predictions"
PARTITIONS = 2


def echo(messages: Sequence[Message]) -> list[OutgoingRecord]:
    return [OutgoingRecord(OUTPUT, each.key(), each.value(), []) for each in messages]


class RebalancedInABatch:
    """A consumer whose first batch is interrupted by a rebalance, after its first record has been read."""

    def __init__(self, inner: Any, read_first: threading.Event, revoked: threading.Event) -> None:
        self._inner = inner
        self._read_first = read_first
        self._revoked = revoked

    def poll(self, timeout: float) -> Message | None:
        first: Message | None = self._inner.poll(timeout)
        if first is not None:
            self._read_first.set()
        return first

    def consume(self, count: int, timeout: float) -> list[Message]:
        messages: list[Message] = self._inner.consume(count, timeout)
        while not self._revoked.is_set():
            messages += self._inner.consume(count, 0.1)
        return messages

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def settings(brokers: str) -> WorkerSettings:
    return WorkerSettings(brokers, SCORED, GROUP, session_timeout_ms=6_000)


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


def test_at_least_once_a_worker_does_not_take_back_what_the_next_owner_has_committed(
    kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebalance comes amid its batch, and the broker would let it: it is a member of the group still."""
    topic, group = "moving.once", "moving.at.least"
    asked = WorkerSettings(kafka.bootstrap, topic, group, delivery="at_least_once", session_timeout_ms=6_000)
    create_topics(kafka.bootstrap, {topic: PARTITIONS})
    read_first, revoked, scoring, go_on, scored = (threading.Event() for _ in range(5))

    def slowly(_messages: Sequence[Message]) -> list[OutgoingRecord]:
        if not scoring.is_set():
            scoring.set()
            assert go_on.wait(30)
        else:
            scored.set()
        return []

    def nothing(_messages: Sequence[Message]) -> list[OutgoingRecord]:
        return []

    first, second = Worker(asked, slowly), Worker(asked, nothing)
    consumer = first._new_consumer
    monkeypatch.setattr(first, "_new_consumer", lambda: RebalancedInABatch(consumer(), read_first, revoked))
    monkeypatch.setattr(first, "_revoked", lambda *_: revoked.set())
    threads = [threading.Thread(target=worker.run) for worker in (first, second)]
    produce(kafka.bootstrap, topic, [Outgoing(at, b"1", b"1") for at in range(PARTITIONS)])
    threads[0].start()
    try:
        assert read_first.wait(30)
        threads[1].start()
        assert scoring.wait(30)
        until(lambda: members_missing(kafka.bootstrap, group, 2) is None, 30, "a partition for each")
        until(lambda: len(committed(kafka.bootstrap, group, topic)) == 1, 30, "the second worker's first commit")
        (moved,) = committed(kafka.bootstrap, group, topic)
        produce(kafka.bootstrap, topic, [Outgoing(moved, b"2", b"2")])
        until(lambda: committed(kafka.bootstrap, group, topic)[moved] == 2, 30, "the second worker's next commit")
        go_on.set()
        produce(kafka.bootstrap, topic, [Outgoing(1 - moved, b"2", b"2")])
        assert scored.wait(30)  # so its first batch is committed
        assert committed(kafka.bootstrap, group, topic)[moved] == 2
    finally:
        go_on.set()
        end((first, second), threads)


def test_a_batch_whose_partition_moved_meanwhile_is_not_committed_by_both(
    kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_topics(kafka.bootstrap, {SCORED: PARTITIONS, OUTPUT: PARTITIONS})
    read_first, revoked, scoring, go_on = (threading.Event() for _ in range(4))

    def slowly(messages: Sequence[Message]) -> list[OutgoingRecord]:
        if not scoring.is_set():
            scoring.set()
            assert go_on.wait(30)
        return echo(messages)

    def values() -> list[bytes]:
        return sorted(message.value() for message in read_topic(kafka.bootstrap, OUTPUT))

    first, second = Worker(settings(kafka.bootstrap), slowly), Worker(settings(kafka.bootstrap), echo)
    consumer = first._new_consumer
    monkeypatch.setattr(first, "_new_consumer", lambda: RebalancedInABatch(consumer(), read_first, revoked))
    monkeypatch.setattr(first, "_revoked", lambda *_: revoked.set())
    threads = [threading.Thread(target=worker.run) for worker in (first, second)]
    threads[0].start()
    try:
        until(lambda: members_missing(kafka.bootstrap, GROUP, 1) is None, 30, "the first worker")
        sent = [b"%d" % at for at in range(PARTITIONS)]
        produce(kafka.bootstrap, SCORED, [Outgoing(at, value, value) for at, value in enumerate(sent)])
        assert read_first.wait(30)
        threads[1].start()
        assert scoring.wait(30)
        until(lambda: members_missing(kafka.bootstrap, GROUP, 2) is None, 30, "a partition for each")
        until(lambda: len(values()) >= 1, 30, "what the second worker makes of the partition that moved")
        go_on.set()
        until(lambda: len(values()) >= PARTITIONS, 30, "all predictions")
        # Whatever the first worker may still write twice comes before what is sent now.
        produce(kafka.bootstrap, SCORED, [Outgoing(at, b"end", b"end") for at in range(PARTITIONS)])
        until(lambda: values().count(b"end") == PARTITIONS, 30, "the last predictions")
        assert values() == [*sent, *[b"end"] * PARTITIONS]
    finally:
        go_on.set()
        end((first, second), threads)
