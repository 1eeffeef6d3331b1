"""Reads the records that topics hold now, all of them or those since a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from forebay.pipelines.adapters.kafka.access import Access, denied
from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.errors import BrokersUnavailable, ForebayError, SettingsError

NO_ANSWER_S = 30.0
"""So long nothing may come of a topic whose end is not reached."""

ASK_S = 10.0


class TopicReader:
    """Reads committed records of any topic, and commits nothing. Close it after use."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._access = Access(brokers)
        self._consumer = Consumer(
            self._access.config(
                {
                    "group.id": "forebay.reader",  # unused: nothing is subscribed or committed
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "enable.partition.eof": True,
                    "isolation.level": "read_committed",
                    "auto.offset.reset": "earliest",
                    "log_level": 0,
                }
            )
        )

    def close(self) -> None:
        """Ends its connections."""
        self._consumer.close()

    def replicas(self, topic: str) -> Mapping[int, int]:
        """Copies by partition; empty where the topic does not exist.

        Raises:
            BrokersUnavailable: the brokers do not answer.
        """
        try:
            found: Any = self._consumer.list_topics(topic, ASK_S).topics[topic]
        except KafkaException as error:
            raise self._unanswered(error) from error
        if found.error and (allow := denied(found.error, f"describe and read topic {topic!r}")):
            raise SettingsError(f"topic {topic!r}: {found.error.str()}; {allow}")
        return {} if found.error else {number: len(each.replicas) for number, each in found.partitions.items()}

    def partitions(self, topic: str) -> Sequence[int]:
        """Returns the topic's partitions, ascending.

        Raises:
            SettingsError: the topic does not exist, or may not be read.
            BrokersUnavailable: the brokers do not answer.
        """
        found = self.replicas(topic)
        if not found:
            raise SettingsError(f"topic {topic!r} does not exist on {self._brokers}: `forebay topics` creates it")
        return sorted(found)

    def messages(self, topic: str) -> Iterator[Message]:
        """Reads all records that the topic holds now, one partition after another.

        Raises:
            SettingsError: the topic does not exist, or may not be read.
            BrokersUnavailable: the brokers do not answer.
        """
        for partition in self.partitions(topic):
            low, end = self._ends(TopicPartition(topic, partition))
            if low < end:
                yield from self._span(topic, partition, low)

    def message(self, at: Position) -> Message | None:
        """Reads the record at a position; None where there is none. Raises as `messages`."""
        if at.partition not in self.replicas(at.topic):
            return None
        low, end = self._ends(TopicPartition(at.topic, at.partition))
        if low == end or at.offset < low:
            return None
        found = next(self._span(at.topic, at.partition, at.offset, at.offset + 1), None)
        return found if found is not None and found.offset() == at.offset else None

    def since(self, topic: str, partition: int, from_ms: int, end: int | None = None) -> Iterator[Message]:
        """Reads the records of a partition, from the first whose timestamp is not before a time.

        Args:
            end: the offset before which to stop; None: all that the partition holds now.

        Raises:
            BrokersUnavailable: the brokers do not answer.
        """
        asked = TopicPartition(topic, partition)
        low, high = self._ends(asked)
        try:
            (found,) = self._consumer.offsets_for_times([TopicPartition(topic, partition, max(0, from_ms))], ASK_S)
        except KafkaException as error:
            raise self._unanswered(error) from error
        # A negative offset: no record is that late.
        start = high if found.offset < 0 else max(low, found.offset)
        if start < high and (end is None or start < end):
            yield from self._span(topic, partition, start, end)

    def _ends(self, partition: TopicPartition) -> tuple[int, int]:
        try:
            low, end = self._consumer.get_watermark_offsets(partition, timeout=ASK_S)
        except KafkaException as error:
            raise self._unanswered(error) from error
        return low, end

    def _span(self, topic: str, partition: int, start: int, end: int | None = None) -> Iterator[Message]:
        """Reads the records from `start` to before `end`; None: all that are there when the first one is fetched.

        The last of these offsets may be a transaction's marker. The end is the one that comes with a fetch: Tansu 0.6
        tells who asks for it one before the last records (`findings/tansu-tells-an-end-before-the-last-records.sh`).
        """
        place = TopicPartition(topic, partition, start)
        self._consumer.assign([place])
        while True:
            message = self._consumer.poll(NO_ANSWER_S)
            if message is None:
                self._access.check(0)
                raise BrokersUnavailable(
                    f"{topic}[{partition}]: nothing came for {NO_ANSWER_S:g} s; are the brokers {self._brokers} up?"
                )
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return
            if error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                continue  # librdkafka looks for the coordinator of a group that is not used
            if error is not None:
                raise self._unreadable(topic, partition, error)
            if end is None:
                end = self._consumer.get_watermark_offsets(place, cached=True)[1]
            if int(message.offset() or 0) >= end:
                return
            yield message
            if int(message.offset() or 0) == end - 1:
                return

    def _unreadable(self, topic: str, partition: int, error: KafkaError) -> ForebayError:
        """Judges by its code what the consumer hands out: an ACL that is missing stays away, all else may pass."""
        what = f"{topic}[{partition}] can't be read: {error.str()}"
        allow = denied(error, f"read topic {topic!r}")
        return SettingsError(f"{what}; {allow}") if allow else BrokersUnavailable(f"{what}; start again")

    def _unanswered(self, error: KafkaException) -> BrokersUnavailable:
        self._access.check(0, self._consumer)
        return BrokersUnavailable(f"no answer from {self._brokers}: {error.args[0].str()}; are the brokers up?")
