"""Records of Kafka, as an explanation reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from confluent_kafka import Message

from forebay.pipelines.adapters.kafka.topic_reader import TopicReader
from forebay.pipelines.contract.kafka.record import Record


class RecordLog(Protocol):
    """Where records are read."""

    def since(self, topic: str, partition: int, from_ms: int, through: int) -> Sequence[Record]:
        """Reads the records of a partition whose timestamp, or that of one before them, is not before a time.

        Args:
            through: the last offset that is wanted.
        """
        ...

    def predictions(self, topic: str, from_ms: int) -> Iterator[bytes]:
        """Reads the payloads of a topic since a time, in any order of partitions."""
        ...


class KafkaLog:
    """Implements `RecordLog`. Its methods raise `SettingsError`: a topic does not exist, brokers do not answer."""

    def __init__(self, reader: TopicReader) -> None:
        self._reader = reader

    def since(self, topic: str, partition: int, from_ms: int, through: int) -> Sequence[Record]:
        """See `RecordLog.since`."""
        return [_record(message) for message in self._reader.since(topic, partition, from_ms, through + 1)]

    def predictions(self, topic: str, from_ms: int) -> Iterator[bytes]:
        """See `RecordLog.predictions`."""
        for partition in self._reader.partitions(topic):
            for message in self._reader.since(topic, partition, from_ms):
                yield message.value() or b""


def _record(message: Message) -> Record:
    _kind, timestamp_ms = message.timestamp()
    return Record(int(message.offset() or 0), message.key(), message.value(), message.headers() or (), timestamp_ms)
