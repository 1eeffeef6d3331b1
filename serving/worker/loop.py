"""The Kafka door: reads the scored topic, writes predictions, and commits both in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from forebay.pipelines.adapters import metrics
from forebay.pipelines.adapters.kafka.access import RUNNING_S, Access
from forebay.pipelines.adapters.kafka.admin import Topics
from forebay.pipelines.adapters.kafka.consumer_errors import ConsumerErrors
from forebay.pipelines.adapters.kafka.probe import RecordProbe
from forebay.pipelines.adapters.kafka.producer import FETCH_WAIT_MS
from forebay.pipelines.errors import ForebayError, StoreUnavailable
from forebay.pipelines.process.silence import Silence
from forebay.pipelines.process.watchdog import WATCHDOG, step
from forebay.pipelines.steps.dead_letter_limit import Tally, judged
from forebay.serving.worker.commit import AtLeastOnceCommitter, Committer, TransactionalCommitter, TransactionLost
from forebay.serving.worker.dead_letters import attempts
from forebay.serving.worker.events import OutgoingRecord
from forebay.serving.worker.incarnation import ScoredIncarnation
from forebay.serving.worker.settings import WorkerSettings

log = structlog.get_logger("forebay.score")

RETRY_SECONDS = 0.2

POLL_S = 0.25

QUIET_POLLS = 40
"""Polls in a row, 10 s, that bring nothing before another client is asked, and again before this one is given up."""


class NotRead(ForebayError):
    """The consumer owns partitions that have records, and brings none: another one may."""


class Worker:
    """Reads, scores and commits batch after batch."""

    def __init__(self, settings: WorkerSettings, score: Callable[[Sequence[Message]], list[OutgoingRecord]]) -> None:
        self._settings = settings
        self._score = score
        self._stopping = False
        self._membership: Any = None
        self._access = Access(settings.brokers)
        self._silence = Silence(RecordProbe(settings.brokers, settings.group), QUIET_POLLS)
        self._tally = Tally()

    def _new_consumer(self) -> Consumer:
        settings = self._settings
        return Consumer(
            self._access.config(
                {
                    "group.id": settings.group,
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "auto.offset.reset": "earliest",
                    "isolation.level": "read_committed",
                    # The end of what may be read is told, past markers and aborted records: what lag is counted to.
                    "enable.partition.eof": True,
                    "session.timeout.ms": settings.session_timeout_ms,
                    "fetch.wait.max.ms": FETCH_WAIT_MS,
                    "fetch.error.backoff.ms": 50,
                }
            )
        )

    def stop(self) -> None:
        """Ends `run` after the present batch; safe to call from a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Works until `stop`.

        Raises:
            WorkerFailed: something has to be repaired first.
            RestartNeeded: a restart is needed.
            ProgressMismatch: the topic was deleted and made anew.
            SettingsError: the brokers refuse to let it be read.
            TooManyDeadLetters: nothing of the batch that has them is committed.
        """
        topics = Topics(self._settings.brokers)
        self._incarnation = ScoredIncarnation(self._settings, topics, topics.incarnation(self._settings.topic))
        self._incarnation.start()
        try:
            with WATCHDOG.watch("scoring").here():
                self._run()
        finally:
            self._incarnation.stop()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._run_from_last_commit()
            except (NotRead, TransactionLost) as error:
                log.warning("joining again, from the last commit", error=str(error))
                time.sleep(RETRY_SECONDS)

    def _run_from_last_commit(self) -> None:
        step("joining the group")
        self._consumer = self._new_consumer()
        self._errors = ConsumerErrors(self._settings.topic, self._settings.group)
        try:
            committer = self._committer()
            self._consumer.subscribe([self._settings.topic], on_assign=self._assigned, on_revoke=self._revoked)
            while not self._stopping:
                messages = self._poll()
                checked = self._incarnation.check(self._consumer)
                if messages and checked:
                    self._work(messages, committer)
                elif messages:
                    self._read_again(messages)
                self._report_lag()
        finally:
            step("leaving the group")
            self._consumer.close()

    def _assigned(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        owned = sorted(each.partition for each in partitions)
        log.info("scoring", topic=self._settings.topic, partitions=owned, group=self._settings.group)
        metrics.keep_partitions(self._settings.topic, [each.partition for each in partitions])
        self._incarnation.assigned(each.partition for each in partitions)

    def _revoked(self, _consumer: Consumer, _partitions: Sequence[TopicPartition]) -> None:
        metrics.keep_partitions(self._settings.topic, ())
        self._incarnation.assigned(())

    def _committer(self) -> Committer:
        if self._settings.delivery == "exactly_once":
            return TransactionalCommitter(self._settings, lambda: self._stopping)
        return AtLeastOnceCommitter(self._settings, self._consumer, lambda: self._stopping)

    def _poll(self) -> list[Message]:
        """Whatever is there, without waiting for more than the first record."""
        step("polling")
        first = self._consumer.poll(POLL_S)
        if first is None:
            self._check_silence()
            self._errors.look()
            self._access.check(RUNNING_S)
            return []
        # Before anything else is read: a rebalance may come with it, and the batch is not of that membership.
        self._membership = self._consumer.consumer_group_metadata()
        messages = [first, *self._consumer.consume(self._settings.max_batch_records - 1, 0)]
        for message in messages:
            error = message.error()
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                self._errors.read()
                self._access.granted()
                self._silence.broken()
            else:
                self._errors.meet(error)
        return [message for message in messages if not message.error()]

    def _check_silence(self) -> None:
        """Raises `NotRead` where nothing has been read for long although another client reads records there."""
        positions = self._consumer.position(self._consumer.assignment())
        if self._silence.look({(each.topic, each.partition): each.offset for each in positions}):
            raise NotRead("records are there, and the consumer brings none")

    def _work(self, messages: Sequence[Message], committer: Committer) -> None:
        records = self._score_until_done(messages)
        # Scoring takes time, in which the topic may have been made anew.
        if records is None or not self._incarnation.check(self._consumer):
            self._read_again(messages)
            return
        batch = attempts(self._settings.topic, messages, records)
        tally = judged(self._tally, batch, self._settings.dead_letters)
        offsets = self._incarnation.marked(_next_offsets(messages))
        if not committer.commit(records, offsets, self._membership):
            self._read_again(messages)
            return
        self._tally = tally
        metrics.RECORDS.labels(self._settings.topic).inc(len(messages))
        metrics.BATCHES.labels(self._settings.topic).inc()

    def _read_again(self, messages: Sequence[Message]) -> None:
        for first in _first_offsets(messages):
            self._seek(first)

    def _report_lag(self) -> None:
        """Counted from positions, which pass markers and aborted records; nothing is said of what is not known."""
        for each in self._consumer.position(self._consumer.assignment()):
            _low, end = self._consumer.get_watermark_offsets(each, cached=True)
            if each.offset >= 0 and end >= 0:
                metrics.LAG_RECORDS.labels(each.topic, each.partition).set(max(0, end - each.offset))

    def _score_until_done(self, messages: Sequence[Message]) -> list[OutgoingRecord] | None:
        """None if told to stop while the store can't be reached."""
        while not self._stopping:
            step(f"scoring {len(messages)} records from {_first_offsets(messages)[0]}")
            try:
                return self._score(messages)
            except StoreUnavailable as error:
                metrics.STORE_RETRIES.labels(self._settings.topic).inc()
                log.warning("batch delayed", error=str(error))
                step("waiting for the store")
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
