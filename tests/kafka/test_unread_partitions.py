"""Partitions that nobody reads are noticed, once the group is at rest."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer

from forebay.stack.topics import create_topics
from pipelines.feature_processor.unread_partitions import UnreadPartitions
from tests.e2e.broker import until
from tests.kafka.apache_kafka import ApacheKafka

pytestmark = pytest.mark.kafka


def test_a_topic_that_no_member_reads_is_found(kafka: ApacheKafka) -> None:
    topics = {"unread.read": 3, "unread.forgotten": 2}
    create_topics(kafka.bootstrap, topics)
    unread = UnreadPartitions(kafka.bootstrap, "unread", topics)
    assert unread.find() == set()  # no group yet, so none at rest
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "unread"})
    try:
        consumer.subscribe(["unread.read"])
        until(lambda: bool(consumer.poll(0.1) or consumer.assignment()), 30, "the assignment")
        until(lambda: bool(unread.find()), 30, "what nobody reads")
        assert unread.find() == {("unread.forgotten", 0), ("unread.forgotten", 1)}
        consumer.unsubscribe()
        consumer.subscribe(list(topics))
        until(lambda: bool(consumer.poll(0.1) or len(consumer.assignment()) == 5), 30, "the new assignment")
        assert unread.find() == set()
    finally:
        consumer.close()


def test_brokers_that_do_not_answer_are_no_finding() -> None:
    assert UnreadPartitions("127.0.0.1:1", "unread", {"unread.read": 3}).find() == set()
