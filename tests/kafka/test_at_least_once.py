"""Delivery at least once: nothing is missing, and what comes twice is known by its id."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from forebay.local.topics import create_topics
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.prediction import prediction_id
from forebay.pipelines.errors import ProgressMismatch
from forebay.serving.worker.clients import KAFKA, Clients
from forebay.serving.worker.loop import Worker
from forebay.serving.worker.outgoing import OutgoingRecord
from forebay.serving.worker.settings import WorkerSettings
from tests.e2e.broker import Outgoing, produce, read_topic, until
from tests.kafka.apache_kafka import ApacheKafka

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

COUNT = 50


def echo_ids(messages: Sequence[Message]) -> list[OutgoingRecord]:
    """The id of each event's prediction, to topic `<topic>.predictions`."""
    at = [Position(each.topic(), each.partition(), each.offset()) for each in messages]
    ids = [prediction_id(each, "topic-id", "m", "1").encode() for each in at]
    return [OutgoingRecord(f"{each.topic}.predictions", None, id_, []) for each, id_ in zip(at, ids, strict=True)]


def settings(brokers: str, topic: str) -> WorkerSettings:
    return WorkerSettings(brokers, topic, f"{topic}.group", delivery="at_least_once", session_timeout_ms=1_500)


class DiesOfTheFirstCommit:
    """A consumer whose process is killed when it commits: what the batch produced has been delivered."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def commit(self, **_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def work(brokers: str, topic: str, dies: bool) -> None:
    """A worker's process."""
    clients = Clients(consumer=lambda config: DiesOfTheFirstCommit(Consumer(config))) if dies else KAFKA
    Worker(settings(brokers, topic), echo_ids, clients).run()


def test_a_worker_killed_between_flush_and_commit_leaves_copies_with_equal_ids_and_loses_none(
    kafka: ApacheKafka,
) -> None:
    topic = "killed.once"
    create_topics(kafka.bootstrap, {topic: 1, f"{topic}.predictions": 1})
    sent = produce(kafka.bootstrap, topic, [Outgoing(0, b"k", b"%d" % at) for at in range(COUNT)])
    expected = {prediction_id(Position(topic, 0, at), "topic-id", "m", "1") for at in sent}

    def counted() -> Counter[str]:
        return Counter(each.value().decode() for each in read_topic(kafka.bootstrap, f"{topic}.predictions"))

    context = multiprocessing.get_context("spawn")
    first = context.Process(target=work, args=(kafka.bootstrap, topic, True), daemon=True)
    first.start()
    first.join(60)
    assert first.exitcode == -signal.SIGKILL
    copies = counted()
    assert copies
    second = context.Process(target=work, args=(kafka.bootstrap, topic, False), daemon=True)
    second.start()
    try:
        until(lambda: counted().keys() == expected and counted().total() >= COUNT + copies.total(), 60, "all events")
    finally:
        second.kill()
        second.join()
    assert {id_ for id_, times in counted().items() if times == 2} == set(copies)


def test_a_worker_refuses_offsets_that_were_committed_in_another_incarnation(kafka: ApacheKafka) -> None:
    """As a group has them that committed once more after the topic was deleted, or came from another cluster."""
    topic = "committed.before"
    create_topics(kafka.bootstrap, {topic: 1, f"{topic}.predictions": 1})
    produce(kafka.bootstrap, topic, [Outgoing(0, b"k", b"%d" % at) for at in range(COUNT)])
    asked = settings(kafka.bootstrap, topic)
    group = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": asked.group})
    group.commit(offsets=[TopicPartition(topic, 0, 7, metadata="forebay-topic-id=former")], asynchronous=False)
    with pytest.raises(
        ProgressMismatch, match=r"had id former when committed.before\[0\]@7 was committed; it now has id"
    ):
        Worker(asked, echo_ids).run()
    assert read_topic(kafka.bootstrap, f"{topic}.predictions") == []
    group.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)  # as the tool does that the line names
    group.close()
    process = multiprocessing.get_context("spawn").Process(
        target=work, args=(kafka.bootstrap, topic, False), daemon=True
    )
    process.start()
    try:
        until(lambda: len(read_topic(kafka.bootstrap, f"{topic}.predictions")) == COUNT, 60, "all events")
    finally:
        process.kill()
        process.join()
