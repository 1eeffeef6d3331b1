"""A member of the consumer group of the scored topic: reads batches of the partitions that it owns.

A rebalance comes while records are polled. Whatever is in flight then ends first: it is committed, or has failed, while
the group waits. So a batch in flight never outlives the stay in the group that it was read in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from forebay.pipelines.adapters import metrics
from forebay.pipelines.adapters.kafka.access import RUNNING_S, Access
from forebay.pipelines.adapters.kafka.consumer_errors import ConsumerErrors
from forebay.pipelines.adapters.kafka.probe import RecordProbe
from forebay.pipelines.adapters.kafka.producer import FETCH_WAIT_MS
from forebay.pipelines.errors import ForebayError
from forebay.pipelines.process.silence import Silence
from forebay.pipelines.process.watchdog import step
from forebay.serving.worker.admission import Admission
from forebay.serving.worker.batch import Offsets
from forebay.serving.worker.commit import WorkerFailed
from forebay.serving.worker.generation import is_member
from forebay.serving.worker.settings import WorkerSettings

log = structlog.get_logger("forebay.score")

POLL_S = 0.25

QUIET_POLLS = 40
"""Polls in a row, 10 s, that bring nothing before another client is asked, and again before this one is given up."""


class JoinAgain(ForebayError):
    """This consumer is of no further use: another one goes on from the last commit."""


def consumer_config(settings: WorkerSettings) -> dict[str, Any]:
    """Returns the properties of librdkafka's consumer, without addresses and security."""
    # With the protocol `consumer` the brokers set the timeout, and librdkafka refuses one of its own.
    timeout = {"session.timeout.ms": settings.session_timeout_ms} if settings.group_protocol == "classic" else {}
    static = {"group.instance.id": settings.instance} if settings.static_membership else {}
    return {
        **timeout,
        **static,
        "group.protocol": settings.group_protocol,
        "group.id": settings.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        # So the consumer learns the end of what may be read, past markers and aborted records: lag counts up to it.
        "enable.partition.eof": True,
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        "fetch.error.backoff.ms": 50,
    }


class Read(NamedTuple):
    """Records that were read together."""

    messages: Sequence[Message]
    membership: Any
    """The consumer's group metadata: where partitions have moved since, a commit with it is refused."""


class Member:
    """One consumer, from joining the group to leaving it. For one thread."""

    def __init__(
        self,
        settings: WorkerSettings,
        assigned: Callable[[set[int]], object],
        revoked: Callable[[set[int]], object],
        client: Callable[[dict[str, Any]], Consumer] = Consumer,
    ) -> None:
        """Args:
        assigned: is told which partitions are owned from now on, in addition.
        revoked: is told which are not any more, while the group waits for its return.
        client: makes the consumer.
        """
        self._settings = settings
        self._on_assigned, self._on_revoked = assigned, revoked
        self._access = Access(settings.brokers)
        self.consumer = client(self._access.config(consumer_config(settings)))
        self._errors = ConsumerErrors(settings.topic, settings.group)
        self._silence = Silence(RecordProbe(settings.brokers, settings.group), QUIET_POLLS)
        self._admission = Admission(settings)
        self._owned: set[int] = set()
        self._reading: list[Message] = []
        """The records of the present batch, of partitions that are owned."""
        self._paused: list[TopicPartition] = []

    def join(self) -> None:
        """Joins the group."""
        step("joining the group")
        self.consumer.subscribe([self._settings.topic], on_assign=self._assigned, on_revoke=self._revoked)

    def read(self) -> Read:
        """Reads what is there, and waits for the first record only; returns nothing of a partition that has moved.

        Raises:
            JoinAgain: the client brings nothing although there are records, or is no member any more.
            WorkerFailed: another worker has this one's name.
            RestartNeeded, SettingsError: as `ConsumerErrors.meet` and `look`.
        """
        step("polling")
        self._reading = []
        timeout_s = POLL_S
        # Not `Consumer.consume`: librdkafka 2.12's position after the end of a partition is one too high with it, and
        # that is where a partition that was paused, or kept in a rebalance, is read on.
        while len(self._reading) < self._settings.max_batch_records:
            message = self.consumer.poll(timeout_s)
            if message is None:
                break
            timeout_s = 0
            self._look_at(message.error())
            if not message.error():
                self._reading.append(message)
        if timeout_s:
            self._look_where_nothing_comes()
        return self._read()

    def _read(self) -> Read:
        if not self._reading:
            return Read([], None)
        # The partitions of these records have not moved since: a rebalance comes with a poll, and there is none before
        # the batch is in flight.
        membership = self.consumer.consumer_group_metadata()
        if not is_member(membership):
            raise JoinAgain("the group does not know this member any more")
        return Read(self._reading, membership)

    def _look_at(self, error: KafkaError | None) -> None:
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            self._errors.read()
            self._access.granted()
            self._silence.broken()
        else:
            self._look_for_a_twin(error)
            self._errors.meet(error)

    def _look_for_a_twin(self, error: KafkaError) -> None:
        """Raises what two static members of one name mean: started again, each would end the other for ever."""
        if not self._settings.static_membership:
            return
        # What ends the consumer may have the reason in its text only.
        if error.code() == KafkaError.FENCED_INSTANCE_ID or "fenced by other consumer" in error.str():
            raise WorkerFailed(f"another worker has this instance's name: {error.str()}; give each its own --instance")
        if error.code() == KafkaError.UNRELEASED_INSTANCE_ID or "still used by another member" in error.str():
            raise JoinAgain(
                f"the brokers keep the partitions of instance {self._settings.instance!r} for a worker that has not "
                f"left, until the group's session timeout is over: {error.str()}"
            )

    def _look_where_nothing_comes(self) -> None:
        if not self._paused:
            positions = self.consumer.position(self.consumer.assignment())
            if self._silence.look({(each.topic, each.partition): each.offset for each in positions}):
                raise JoinAgain("records are there, and the consumer brings none")
        self._errors.look()
        self._admission.look(self.consumer)
        self._access.check(RUNNING_S)

    def pause(self) -> None:
        """Reads nothing for a while; to be polled on, so that the group knows that this member lives."""
        self._paused = self.consumer.assignment()
        self.consumer.pause(self._paused)

    def resume(self) -> None:
        """Reads on where it was paused."""
        if self._paused:
            owned = [each for each in self._paused if each.partition in self._owned]
            self._paused = []
            self.consumer.resume(owned)
            self._silence.broken()

    def read_again(self, first: Offsets) -> None:
        """Goes back to these offsets."""
        for partition, offset in first.items():
            try:
                self.consumer.seek(TopicPartition(self._settings.topic, partition, offset))
            except KafkaException as error:
                # Lost in a rebalance: the partition's next owner starts from the last commit.
                log.info("not seeking", partition=partition, error=str(error))

    def report_lag(self) -> None:
        """Reports lag from positions, which pass markers and aborted records; unknown positions are left out."""
        for each in self.consumer.position(self.consumer.assignment()):
            _low, end = self.consumer.get_watermark_offsets(each, cached=True)
            if each.offset >= 0 and end >= 0:
                metrics.LAG_RECORDS.labels(each.topic, each.partition).set(max(0, end - each.offset))

    def leave(self) -> None:
        """Leaves the group; partitions are revoked on the way."""
        step("leaving the group")
        self.consumer.close()

    def _assigned(self, _consumer: Consumer, partitions: Iterable[TopicPartition]) -> None:
        came = {each.partition for each in partitions}
        self._owned |= came
        log.info("scoring", topic=self._settings.topic, partitions=sorted(self._owned), group=self._settings.group)
        metrics.keep_partitions(self._settings.topic, self._owned)
        self._on_assigned(came)

    def _revoked(self, _consumer: Consumer, partitions: Iterable[TopicPartition]) -> None:
        gone = {each.partition for each in partitions}
        self._reading = [each for each in self._reading if each.partition() not in gone]
        self._owned -= gone
        metrics.keep_partitions(self._settings.topic, self._owned)
        self._on_revoked(gone)
