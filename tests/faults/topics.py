"""Topics deleted, created anew, given more partitions, and cut off at their beginning: on the real Kafka."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewPartitions, OffsetSpec

from forebay.local.topics import create_topics
from forebay.pipelines.adapters.kafka.admin import Topics, new_admin
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from tests.e2e.broker import until
from tests.faults.broken import harness, patiently

ANSWER_S = 10.0


def incarnation_of(brokers: str, topic: str) -> Incarnation:
    """Its id and number of partitions."""
    return Topics(brokers).incarnation(topic)


def make_anew(brokers: str, topic: str, partitions: int) -> None:
    """Deletes it and creates it again, empty."""
    admin = new_admin(brokers)
    with harness(f"making {topic} anew"):
        admin.delete_topics([topic], request_timeout=ANSWER_S)[topic].result()
        until(lambda: topic not in admin.list_topics(timeout=ANSWER_S).topics, ANSWER_S, f"the end of {topic}")
        create_topics(brokers, {topic: partitions})


def grow(brokers: str, topic: str, partitions: int) -> None:
    """Gives it more partitions."""
    admin = new_admin(brokers)
    with harness(f"more partitions of {topic}"):
        admin.create_partitions([NewPartitions(topic, partitions)], request_timeout=ANSWER_S)[topic].result()
        until(lambda: len(ends(brokers, topic)) == partitions, ANSWER_S, f"{partitions} partitions of {topic}")


def delete_up_to(brokers: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Deletes the records before these offsets, by partition."""
    admin = new_admin(brokers)
    with harness(f"deleting records of {topic}"):
        asked = admin.delete_records([TopicPartition(topic, at, offset) for at, offset in offsets.items()])
        for answer in asked.values():
            answer.result()


def ends(brokers: str, topic: str) -> dict[int, int]:
    """The offset after the last record, by partition."""
    return patiently(lambda: _ends(brokers, topic), f"the ends of {topic}")


def _ends(brokers: str, topic: str) -> dict[int, int]:
    admin = new_admin(brokers)
    each = [TopicPartition(topic, at) for at in admin.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions]
    asked = admin.list_offsets(dict.fromkeys(each, OffsetSpec.latest()), request_timeout=ANSWER_S)
    return {at.partition: int(answer.result().offset) for at, answer in asked.items()}
