"""Makes the predictions and the offsets of a batch durable: together, or predictions first."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from forebay.pipelines.adapters.kafka.access import RUNNING_S, Access, denied, said, write_to
from forebay.pipelines.adapters.kafka.producer import MAX_RECORD_BYTES, queue
from forebay.pipelines.errors import ForebayError
from forebay.pipelines.process.watchdog import step
from forebay.serving.worker.outgoing import OutgoingRecord
from forebay.serving.worker.settings import WorkerSettings

log = structlog.get_logger("forebay.score")

ANSWER_SECONDS = 1.0
"""How long one call waits for the brokers before it is made again; told to stop, the worker ends within it."""

_FENCED = (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)
"""Another producer has begun with the same transactional id."""

PAUSE_SECONDS = 0.05
"""Before a call is made again: some fail at once."""

Stopping = Callable[[], bool]
NewProducer = Callable[[dict[str, Any]], Producer]
"""Makes a producer from librdkafka's properties."""


class WorkerFailed(ForebayError):
    """The worker can't go on; a restart starts from the last commit."""


class TransactionLost(ForebayError):
    """What became of a transaction is not known here: join again, and start from the last commit."""


class Committer(Protocol):
    """Makes the records and the offsets of one batch durable."""

    def commit(self, records: Sequence[OutgoingRecord], offsets: list[TopicPartition], membership: Any) -> bool:
        """Tells whether it was done; if not, nothing of it will ever be read, and the batch is read again.

        Args:
            membership: the consumer's group metadata when the batch was read: if its partitions have moved since,
                the commit is refused.
        """
        ...


class TransactionalCommitter:
    """Records and offsets in one transaction: all of it, or nothing."""

    def __init__(self, settings: WorkerSettings, stopping: Stopping, producer: NewProducer = Producer) -> None:
        self._stopping = stopping
        self._named = bool(settings.instance)
        self._group = settings.group
        self._name = f"{settings.group}.{settings.instance or '*'}"
        self._access = Access(settings.brokers)
        self._producer = producer(
            self._access.config(
                {
                    "transactional.id": f"{settings.group}.{settings.instance or uuid.uuid4().hex}",
                    "transaction.timeout.ms": settings.transaction_timeout_ms,
                    # The broker refuses to begin while it writes the last transaction's markers; asking
                    # again after 100 ms (the default) instead of 5 would be most of a prediction's latency.
                    "retry.backoff.ms": 5,
                    "linger.ms": 0,
                    "message.max.bytes": MAX_RECORD_BYTES,
                }
            )
        )
        try:
            self._until_answered(self._producer.init_transactions)
        except KafkaException as error:
            if self._stopping():
                raise TransactionLost(str(error)) from error
            may = f"write as transactional id {self._name}"
            raise WorkerFailed(f"transactions can't be used: {said(error.args[0], may)}") from error

    def commit(self, records: Sequence[OutgoingRecord], offsets: list[TopicPartition], membership: Any) -> bool:
        """See `Committer.commit`.

        Raises:
            WorkerFailed: another worker has this instance's name, or a topic takes no record as large, or none.
            TransactionLost: it can be neither committed nor aborted.
        """
        failures = _Failures()
        try:
            self._producer.begin_transaction()
            _queue(self._producer, records, failures)
            self._until_answered(partial(self._producer.send_offsets_to_transaction, offsets, membership))
            self._until_answered(self._producer.commit_transaction)
        except KafkaException as error:
            self._abort(error)
            failures.check_lasting()
            if allow := denied(error.args[0], self._may(error.args[0], records)):
                raise WorkerFailed(f"a batch can't be committed: {error.args[0].str()}; {allow}") from error
            return False
        return True

    def _may(self, refused: KafkaError, records: Sequence[OutgoingRecord]) -> str:
        """Words what the worker wanted to do that its brokers refuse."""
        if refused.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return write_to(each.topic for each in records)
        if refused.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            return f"write as transactional id {self._name}"
        return f"read consumer group {self._group!r}"

    def _abort(self, error: KafkaException) -> None:
        try:
            self._until_answered(self._producer.abort_transaction)
        except KafkaException as final:
            # A commit that was not answered can't be aborted either: it may have been done.
            raise self._given_up(error, final) from error
        log.warning("transaction aborted, its batch is read again", error=error.args[0].str())

    def _until_answered(self, call: Callable[[float], None]) -> None:
        """Makes the call again as long as the brokers do not answer: they may come back."""
        while True:
            step(f"waiting {ANSWER_SECONDS:g} s for an answer to {_name(call)}")
            try:
                call(ANSWER_SECONDS)
                self._access.granted()
                return
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                # `_CONFLICT`: librdkafka believes that an earlier call still runs, and returns this for ever.
                if self._stopping() or not reason.retriable() or reason.code() == KafkaError._CONFLICT:
                    raise
                log.warning("waiting for the broker", error=reason.str())
                self._access.check(RUNNING_S, self._producer)
                time.sleep(PAUSE_SECONDS)

    def _given_up(self, *errors: KafkaException) -> ForebayError:
        reasons: list[KafkaError] = [error.args[0] for error in errors]
        fenced = [each for each in reasons if each.code() in _FENCED]
        if self._named and fenced:
            return WorkerFailed(
                f"another worker has this instance's name: {fenced[0].str()}; give each its own --instance"
            )
        return TransactionLost(reasons[-1].str())


class AtLeastOnceCommitter:
    """Records first, then offsets: a failure in between repeats the batch, ids tell the copies."""

    def __init__(
        self, settings: WorkerSettings, consumer: Consumer, stopping: Stopping, producer: NewProducer = Producer
    ) -> None:
        self._consumer = consumer
        self._stopping = stopping
        self._access = Access(settings.brokers)
        self._producer = producer(
            self._access.config(
                {
                    "enable.idempotence": True,
                    "linger.ms": 0,
                    "message.max.bytes": MAX_RECORD_BYTES,
                }
            )
        )

    def commit(self, records: Sequence[OutgoingRecord], offsets: list[TopicPartition], _membership: Any) -> bool:
        """See `Committer.commit`; here, records of a failed batch may be read twice.

        Raises:
            WorkerFailed: a topic takes no record this large, or none at all.
            TransactionLost: the producer has ended for another reason; another one may do.
        """
        failures = _Failures()
        try:
            _queue(self._producer, records, failures)
            step("waiting for predictions to be acknowledged")
            while self._producer.flush(ANSWER_SECONDS) and not self._stopping():
                self._access.check(RUNNING_S)
                step("waiting for predictions to be acknowledged")
        except KafkaException as error:
            why = self._why_ended(error)
            # A user who may write to no topic is given no producer id, whichever topic it is for.
            if allow := denied(why, write_to(each.topic for each in records)):
                raise WorkerFailed(f"predictions can't be produced: {why.str()}; {allow}") from error
            raise TransactionLost(f"the producer has ended: {why.str()}") from error
        failures.check_lasting()
        if len(self._producer) or failures.errors:
            log.warning("records not delivered, their batch is read again", errors=len(failures.errors))
            return False
        self._access.granted()
        # A rebalance may have come amid the batch: another worker reads the partition on from its own commits, which
        # this one must not take back. The broker would let it: this worker is a member still.
        assigned = {(each.topic, each.partition) for each in self._consumer.assignment()}
        owned = [each for each in offsets if (each.topic, each.partition) in assigned]
        try:
            step("committing offsets")
            if owned:
                self._consumer.commit(offsets=owned, asynchronous=False)
        except KafkaException as error:
            log.warning("offsets not committed", error=str(error))
        return True

    def _why_ended(self, error: KafkaException) -> KafkaError:
        """Finds why the producer ended: it says so to one poll only, and to all other calls that it has ended."""
        try:
            self._producer.poll(0)
        except KafkaException as first:
            error = first
        reason: KafkaError = error.args[0]
        return reason


class _Failures:
    """Records of one batch that were not delivered. A delivery callback."""

    def __init__(self) -> None:
        self.errors: list[tuple[KafkaError, str]] = []

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.errors.append((error, str(message.topic())))

    def check_lasting(self) -> None:
        """Raises `WorkerFailed` for a record that no further attempt will deliver."""
        for error, topic in self.errors:
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise WorkerFailed(
                    f"topic {topic!r} takes no record as large as one of this batch: raise its max.message.bytes, "
                    "then start again; nothing of the batch is committed"
                )
            if allow := denied(error, f"write to topic {topic!r}"):
                raise WorkerFailed(
                    f"{topic}: {error.str()}; {allow}, then start again; nothing of the batch is committed"
                )


def _name(call: Any) -> str:
    """Names a method of the producer, given as it is or with its arguments."""
    return getattr(getattr(call, "func", call), "__name__", "the producer")


def _queue(producer: Producer, records: Sequence[OutgoingRecord], failures: _Failures) -> None:
    for record in records:
        queue(producer, failures, record.topic, record.value, record.key, headers=record.headers)
