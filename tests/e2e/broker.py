"""Reading and writing whole topics of the tests' broker."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, ConsumerGroupState, KafkaError, KafkaException, Message, Producer, TopicPartition

from forebay.pipelines.adapters.kafka.admin import new_admin
from forebay.pipelines.adapters.kafka.consumer_errors import ConsumerErrors

PARTITIONS = 4

MOST_IN_TRANSACTION = 40


class Outgoing(NamedTuple):
    """A record to produce."""

    partition: int
    key: bytes | None
    value: bytes | None


def until(done: Callable[[], bool], seconds: float, waiting_for: str) -> None:
    """Asks again and again; fails when the time is over."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{waiting_for}: not within {seconds:g} s"
        time.sleep(0.05)


def produce(brokers: str, topic: str, records: Iterable[Outgoing]) -> list[int]:
    """Produces in order and returns the records' offsets, each in its partition."""
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 1})
    offsets: dict[int, int] = {}
    count = 0
    for number, record in enumerate(records):

        def delivered(error: KafkaError | None, message: Message, number: int = number) -> None:
            assert error is None, error
            offsets[number] = message.offset()

        producer.produce(topic, record.value, record.key, partition=record.partition, on_delivery=delivered)
        producer.poll(0)
        count += 1
    assert producer.flush(60) == 0
    return [offsets[number] for number in range(count)]


def produce_in_transactions(
    brokers: str, topic: str, records: Sequence[Outgoing], aborted: Sequence[Outgoing], rng: random.Random
) -> list[int]:
    """Produces the records in committed transactions, others in aborted ones between and after them.

    Args:
        aborted: as many as there are records.

    Returns:
        Offsets of the committed records, each in its partition.
    """
    producer = Producer(
        {"bootstrap.servers": brokers, "transactional.id": f"tests.{uuid.uuid4().hex}", "retry.backoff.ms": 5}
    )
    producer.init_transactions(60)
    offsets: list[int] = []
    at = 0
    while at < len(records):
        size = rng.randrange(1, MOST_IN_TRANSACTION)
        if rng.random() < 0.5:
            _in_transaction(producer, topic, aborted[at : at + size])
            producer.abort_transaction(60)
        offsets += _in_transaction(producer, topic, records[at : at + size])
        producer.commit_transaction(60)
        at += size
    if rng.random() < 0.5:
        _in_transaction(producer, topic, aborted[-3:])
        producer.abort_transaction(60)
    return offsets


def _in_transaction(producer: Producer, topic: str, records: Sequence[Outgoing]) -> list[int]:
    """Begins a transaction and returns when its records are in Kafka: their offsets."""
    delivered: list[tuple[int, int]] = []
    producer.begin_transaction()
    for number, record in enumerate(records):

        def acknowledged(error: KafkaError | None, message: Message, number: int = number) -> None:
            assert error is None, error
            delivered.append((number, message.offset()))

        producer.produce(topic, record.value, record.key, partition=record.partition, on_delivery=acknowledged)
    assert producer.flush(60) == 0
    assert len(delivered) == len(records)
    return [offset for _, offset in sorted(delivered)]


def read_topic(brokers: str, topic: str) -> list[Message]:
    """Every committed record of the topic, partition by partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "e2e",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 20,
        }
    )
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    messages: list[Message] = []
    errors = ConsumerErrors(topic, "e2e")
    unread = set(partitions)
    deadline = time.monotonic() + 30
    while unread:
        assert time.monotonic() < deadline, f"{topic}: {len(messages)} records read, more not within 30 s"
        message = consumer.poll(0.2)
        if message is None:
            continue
        error = message.error()
        if error is None:
            messages.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            unread.discard(message.partition())
        elif error.code() == KafkaError.OFFSET_OUT_OF_RANGE:
            raise KafkaException(error)
        else:
            errors.meet(error)
    consumer.close()
    return sorted(messages, key=lambda each: (each.partition(), each.offset()))


def members_missing(brokers: str, group: str, members: int) -> str | None:
    """None when the group is stable, with so many members that all have partitions."""
    admin = new_admin(brokers)
    try:
        found = admin.describe_consumer_groups([group], request_timeout=5)[group].result()
    except KafkaException as error:
        return f"group {group}: {error}"
    busy = sum(bool(member.assignment and member.assignment.topic_partitions) for member in found.members)
    if found.state is ConsumerGroupState.STABLE and busy == len(found.members) == members:
        return None
    return f"group {group} is {found.state}, {busy} of its {len(found.members)} members have partitions"
