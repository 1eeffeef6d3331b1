"""A worker whose topic is deleted and made anew does not read on at the old number."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from confluent_kafka import Message

from forebay.stack.topics import create_topics
from pipelines.adapters.kafka import Topics
from pipelines.errors import ProgressMismatch
from serving.event_scorer import OutgoingRecord
from serving.settings import WorkerSettings
from serving.worker import Worker
from tests.e2e.broker import Outgoing, produce, read_topic, until
from tests.faults.topics import make_anew
from tests.kafka.apache_kafka import ApacheKafka

pytestmark = pytest.mark.kafka

GROUP, SCORED, OUTPUT = "anew", "anew.events", "anew.predictions"


def echo(messages: Sequence[Message]) -> list[OutgoingRecord]:
    return [OutgoingRecord(OUTPUT, each.key(), each.value(), []) for each in messages]


def test_a_topic_that_is_made_anew_under_a_running_worker_ends_it_with_both_ids(kafka: ApacheKafka) -> None:
    create_topics(kafka.bootstrap, {SCORED: 1, OUTPUT: 1})
    topics = Topics(kafka.bootstrap)
    before = topics.lineage(SCORED).topic_id
    worker = Worker(WorkerSettings(kafka.bootstrap, SCORED, GROUP, session_timeout_ms=6_000), echo, topics)
    ended: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except ProgressMismatch as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        produce(kafka.bootstrap, SCORED, [Outgoing(0, b"k", b"%d" % at) for at in range(5)])
        until(lambda: len(read_topic(kafka.bootstrap, OUTPUT)) == 5, 30, "five predictions")
        make_anew(kafka.bootstrap, SCORED, 1)
        produce(kafka.bootstrap, SCORED, [Outgoing(0, b"k", b"new %d" % at) for at in range(20)])
        until(lambda: bool(ended), 40, "the worker's end")
    finally:
        worker.stop()
        thread.join(30)
    after = topics.lineage(SCORED).topic_id
    assert before in str(ended[0])
    assert after in str(ended[0])
    assert f"--group {GROUP}" in str(ended[0])
