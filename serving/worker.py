"""The Kafka door: reads the scored topic, writes predictions, and commits both in one transaction."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from pipelines.adapters import metrics
from pipelines.errors import ForebayError, StoreUnavailable
from serving.event_scorer import OutgoingRecord

log = structlog.get_logger("forebay.score")

RETRY_SECONDS = 0.2


class WorkerSettings(msgspec.Struct, frozen=True):
    """Read once, by the entry point."""

    brokers: str
    topic: str
    """The scored topic."""
    group: str
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    instance: str = ""
    """Names this worker among its group for transactions; empty: a random name."""
    max_batch_records: int = 500
    session_timeout_ms: int = 10_000
    transaction_timeout_ms: int = 10_000
    """How long readers may wait for a transaction that a killed worker left open."""


class WorkerFailed(ForebayError):
    """The worker can't go on; a restart starts from the last commit."""


class Committer(Protocol):
    """Makes the records and the offsets of one batch durable."""

    def commit(self, records: Sequence[OutgoingRecord], offsets: list[TopicPartition]) -> bool:
        """Whether it was done; if not, nothing of it will ever be read, and the batch is read again."""
        ...


class TransactionalCommitter:
    """Records and offsets in one transaction: all of it, or nothing."""

    def __init__(self, settings: WorkerSettings, consumer: Consumer) -> None:
        self._consumer = consumer
        self._producer = Producer(
            {
                "bootstrap.servers": settings.brokers,
                "transactional.id": f"{settings.group}.{settings.instance or uuid.uuid4().hex}",
                "transaction.timeout.ms": settings.transaction_timeout_ms,
                # The broker refuses to begin while it writes the last transaction's markers; asking
                # again after 100 ms (the default) instead of 5 would be most of a prediction's latency.
                "retry.backoff.ms": 5,
                "linger.ms": 0,
            }
        )
        self._producer.init_transactions(30.0)

    def commit(self, records: Sequence[OutgoingRecord], offsets: list[TopicPartition]) -> bool:
        """See `Committer.commit`.

        Raises:
            WorkerFailed: another worker has this instance's name, or the broker refuses for good.
        """
        try:
            self._producer.begin_transaction()
            _produce(self._producer, records)
            self._producer.send_offsets_to_transaction(offsets, self._consumer.consumer_group_metadata(), 30.0)
            self._producer.commit_transaction(30.0)
        except KafkaException as error:
            return self._abort(error)
        return True

    def _abort(self, error: KafkaException) -> bool:
        reason: KafkaError = error.args[0]
        if reason.fatal():
            raise WorkerFailed(f"transactions are no longer possible: {reason.str()}") from error
        log.warning("transaction aborted, its batch is read again", error=reason.str())
        self._producer.abort_transaction(30.0)
        return False


class AtLeastOnceCommitter:
    """Records first, then offsets: a failure in between repeats the batch, ids tell the copies."""

    def __init__(self, settings: WorkerSettings, consumer: Consumer) -> None:
        self._consumer = consumer
        self._failures: list[KafkaError] = []
        self._producer = Producer({"bootstrap.servers": settings.brokers, "enable.idempotence": True, "linger.ms": 0})

    def commit(self, records: Sequence[OutgoingRecord], offsets: list[TopicPartition]) -> bool:
        """See `Committer.commit`; here, records of a failed batch may be read twice."""
        self._failures.clear()
        _produce(self._producer, records, self._delivered)
        if self._producer.flush(30.0) or self._failures:
            log.warning("records not delivered, their batch is read again", errors=len(self._failures))
            return False
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            log.warning("offsets not committed", error=str(error))
        return True

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failures.append(error)


class Worker:
    """Reads, scores and commits batch after batch."""

    def __init__(self, settings: WorkerSettings, score: Callable[[Sequence[Message]], list[OutgoingRecord]]) -> None:
        self._settings = settings
        self._score = score
        self._stopping = False
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.brokers,
                "group.id": settings.group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "session.timeout.ms": settings.session_timeout_ms,
                "fetch.wait.max.ms": 50,
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
        """
        committer = self._committer()
        self._consumer.subscribe([self._settings.topic], on_assign=self._assigned, on_revoke=self._revoked)
        try:
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
            return TransactionalCommitter(self._settings, self._consumer)
        return AtLeastOnceCommitter(self._settings, self._consumer)

    def _poll(self) -> list[Message]:
        """Whatever is there, without waiting for more than the first record."""
        first = self._consumer.poll(0.25)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(self._settings.max_batch_records - 1, 0)]
        for message in messages:
            if message.error():
                log.warning("consumer", error=message.error().str())
        return [message for message in messages if not message.error()]

    def _work(self, messages: Sequence[Message], committer: Committer) -> None:
        records = self._score_until_done(messages)
        if records is None or not committer.commit(records, _next_offsets(messages)):
            for first in _first_offsets(messages):
                self._seek(first)
            return
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


def _produce(
    producer: Producer,
    records: Sequence[OutgoingRecord],
    on_delivery: Callable[[KafkaError | None, Message], None] | None = None,
) -> None:
    for record in records:
        while True:
            try:
                producer.produce(
                    record.topic, record.value, record.key, headers=record.headers, on_delivery=on_delivery
                )
            except BufferError:
                producer.poll(0.1)
            else:
                break


def _next_offsets(messages: Sequence[Message]) -> list[TopicPartition]:
    last = {(each.topic(), each.partition()): each.offset() for each in messages}
    return [TopicPartition(topic, partition, offset + 1) for (topic, partition), offset in last.items()]


def _first_offsets(messages: Sequence[Message]) -> list[TopicPartition]:
    first = {(each.topic(), each.partition()): each.offset() for each in reversed(messages)}
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in first.items()]
