"""Why a worker never commits without a generation: the broker would not check whose partition it is."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from forebay.local.topics import create_topics
from forebay.serving.worker.generation import is_member
from tests.e2e.broker import Outgoing, produce, until
from tests.kafka.apache_kafka import ApacheKafka

pytestmark = pytest.mark.kafka

TOPIC, GROUP = "generations", "generations.group"


def test_a_broker_commits_a_transactions_offsets_without_a_generation_although_the_group_has_a_member(
    kafka: ApacheKafka,
) -> None:
    create_topics(kafka.bootstrap, {TOPIC: 1})
    produce(kafka.bootstrap, TOPIC, [Outgoing(0, b"k", b"v")])
    config = {"bootstrap.servers": kafka.bootstrap, "group.id": GROUP, "auto.offset.reset": "earliest"}
    member, stranger = Consumer({**config, "enable.auto.commit": False}), Consumer(config)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": GROUP})
    try:
        member.subscribe([TOPIC])
        until(lambda: member.poll(0.1) is not None, 30, "the member's first record")
        assert is_member(member.consumer_group_metadata())
        nobody = stranger.consumer_group_metadata()
        assert not is_member(nobody)
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.send_offsets_to_transaction([TopicPartition(TOPIC, 0, 1)], nobody, 30)
        producer.commit_transaction(30)
        assert member.committed([TopicPartition(TOPIC, 0)], 30)[0].offset == 1
    finally:
        member.close()
        stranger.close()
