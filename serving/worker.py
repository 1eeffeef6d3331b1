"""The Kafka door: reads the scored topic, writes predictions, and commits both in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from pipelines.adapters import metrics
from pipelines.adapters.kafka import FETCH_WAIT_MS
from pipelines.errors import StoreUnavailable
from pipelines.steps.poison import Tally, judged
from serving.commit import AtLeastOnceCommitter, Committer, TransactionalCommitter, TransactionLost
from serving.dead_letters import attempts
from serving.event_scorer import OutgoingRecord
from serving.settings import WorkerSettings

log = structlog.get_logger("forebay.score")

RETRY_SECONDS = 0.2


class Worker:
    """Reads, scores and commits batch after batch."""

    def __init__(self, settings: WorkerSettings, score: Callable[[Sequence[Message]], list[OutgoingRecord]]) -> None:
        self._settings = settings
        self._score = score
        self._stopping = False
        self._membership: Any = None
        self._tally = Tally()

    def _new_consumer(self) -> Consumer:
        settings = self._settings
        return Consumer(
            {
                "bootstrap.servers": settings.brokers,
                "group.id": settings.group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "session.timeout.ms": settings.session_timeout_ms,
                "fetch.wait.max.ms": FETCH_WAIT_MS,
                "fetch.error.backoff.ms": 50,
            }
        )

    def stop(self) -> None:
        """Ends `run` after the present batch; safe to call from a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Works until `stop`.

        Raises:
            WorkerFailed: a restart is needed.
            TooManyDeadLetters: nothing of the batch that has them is committed.
        """
        while not self._stopping:
            try:
                self._run_from_last_commit()
            except TransactionLost as error:
                log.warning("joining again, from the last commit", error=str(error))
                time.sleep(RETRY_SECONDS)

    def _run_from_last_commit(self) -> None:
        self._consumer = self._new_consumer()
        try:
            committer = self._committer()
            self._consumer.subscribe([self._settings.topic], on_assign=self._assigned, on_revoke=self._revoked)
            while not self._stopping:
                messages = self._poll()
                if messages:
                    self._work(messages, committer)
        finally:
            self._consumer.close()

    def _assigned(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        metrics.ASSIGNED_PARTITIONS.labels(self._settings.topic).set(len(partitions))

    def _revoked(self, _consumer: Consumer, _partitions: Sequence[TopicPartition]) -> None:
        metrics.ASSIGNED_PARTITIONS.labels(self._settings.topic).set(0)

    def _committer(self) -> Committer:
        if self._settings.delivery == "exactly_once":
            return TransactionalCommitter(self._settings, lambda: self._stopping)
        return AtLeastOnceCommitter(self._settings, self._consumer, lambda: self._stopping)

    def _poll(self) -> list[Message]:
        """Whatever is there, without waiting for more than the first record."""
        first = self._consumer.poll(0.25)
        if first is None:
            return []
        # Before anything else is read: a rebalance may come with it, and the batch is not of that membership.
        self._membership = self._consumer.consumer_group_metadata()
        messages = [first, *self._consumer.consume(self._settings.max_batch_records - 1, 0)]
        for message in messages:
            if message.error():
                log.warning("consumer", error=message.error().str())
        return [message for message in messages if not message.error()]

    def _work(self, messages: Sequence[Message], committer: Committer) -> None:
        records = self._score_until_done(messages)
        tally = self._tally
        if records is not None:
            batch = attempts(self._settings.topic, messages, records)
            tally = judged(tally, batch, self._settings.dead_letters)
        if records is None or not committer.commit(records, _next_offsets(messages), self._membership):
            for first in _first_offsets(messages):
                self._seek(first)
            return
        self._tally = tally
        metrics.RECORDS.labels(self._settings.topic).inc(len(messages))
        metrics.BATCHES.labels(self._settings.topic).inc()
        for next_offset in _next_offsets(messages):
            _low, end = self._consumer.get_watermark_offsets(next_offset, cached=True)
            lag = max(0, end - next_offset.offset)
            metrics.LAG_RECORDS.labels(self._settings.topic, next_offset.partition).set(lag)

    def _score_until_done(self, messages: Sequence[Message]) -> list[OutgoingRecord] | None:
        """None if told to stop while the store can't be reached."""
        while not self._stopping:
            try:
                return self._score(messages)
            except StoreUnavailable as error:
                metrics.STORE_RETRIES.labels(self._settings.topic).inc()
                log.warning("batch delayed", error=str(error))
                time.sleep(RETRY_SECONDS)
        return None

    def _seek(self, to: TopicPartition) -> None:
        try:
            self._consumer.seek(to)
        except KafkaException as error:
            # Lost in a rebalance: its next owner starts from the last commit.
            log.info("not seeking", partition=to.partition, error=str(error))


def _next_offsets(messages: Sequence[Message]) -> list[TopicPartition]:
    last = {(each.topic(), each.partition()): each.offset() for each in messages}
    return [TopicPartition(topic, partition, offset + 1) for (topic, partition), offset in last.items()]


def _first_offsets(messages: Sequence[Message]) -> list[TopicPartition]:
    first = {(each.topic(), each.partition()): each.offset() for each in reversed(messages)}
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in first.items()]
