"""What readers of a routed topic lean on: after a record that failed, none follows."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewTopic

from forebay.local.topics import create_topics
from forebay.pipelines.adapters.kafka.admin import new_admin
from forebay.pipelines.adapters.kafka.producer import DeliveryFailed, IdempotentProducer
from tests.kafka.apache_kafka import ApacheKafka

pytestmark = pytest.mark.kafka


def values(brokers: str, topic: str) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    found: list[bytes] = []
    while len(found) < end:
        message = consumer.poll(5)
        assert message is not None
        found.append(message.value())
    consumer.close()
    return found


def test_a_record_that_fails_is_followed_by_none(kafka: ApacheKafka) -> None:
    """Or its repeat, after a restart, would be taken for a duplicate; the error names the topic and the repair."""
    admin = new_admin(kafka.bootstrap)
    admin.create_topics([NewTopic("producer.small", 1, 1, config={"max.message.bytes": "2000"})])[
        "producer.small"
    ].result()
    producer = IdempotentProducer(kafka.bootstrap)
    records = [str(at).encode() for at in range(500)]
    records[250] = bytes(range(256)) * 100
    for each in records[:200]:
        producer.produce("producer.small", each, partition=0)
    producer.flush()
    for each in records[200:]:
        producer.produce("producer.small", each, partition=0)
    with pytest.raises(DeliveryFailed, match=r"producer\.small.*max\.message\.bytes"):
        producer.flush()
    with pytest.raises(DeliveryFailed):
        producer.produce("producer.small", b"after", partition=0)
    arrived = values(kafka.bootstrap, "producer.small")
    assert arrived == records[: len(arrived)]
    assert 200 <= len(arrived) <= 250


def test_a_carrying_topic_takes_what_its_source_takes(kafka: ApacheKafka) -> None:
    """Headers are added on the way."""
    create_topics(kafka.bootstrap, {"producer.dlq": 1}, carrying=["producer.dlq"])
    producer = IdempotentProducer(kafka.bootstrap)
    large = b"x" * 3_000_000
    producer.produce("producer.dlq", large, headers=[("forebay-error", b"e" * 1_024)], partition=0)
    producer.flush()
    assert values(kafka.bootstrap, "producer.dlq") == [large]
