"""Reads committed predictions as any Kafka client would."""

from __future__ import annotations

import time
from collections import Counter

import msgspec
from confluent_kafka import Consumer, TopicPartition

SILENT_S = 5.0
"""A client that reads nothing for so long is replaced: the harness must not take its own for the product's fault."""


class _Source(msgspec.Struct):
    source: str


class PredictionReader:
    """Counts committed predictions by the record they are for, `topic[partition]@offset`."""

    def __init__(self, brokers: str, topic: str, partitions: int) -> None:
        self._brokers = brokers
        self._at = dict.fromkeys(range(partitions), 0)
        self._topic = topic
        self._decode = msgspec.json.Decoder(_Source)
        self._consumer = self._new()
        self._read_at = time.monotonic()
        self.counted: Counter[str] = Counter()
        """Predictions of each record."""

    def _new(self) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": self._brokers,
                "group.id": "faults-scoring",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "log_level": 0,
            }
        )
        consumer.assign([TopicPartition(self._topic, partition, at) for partition, at in self._at.items()])
        return consumer

    def read(self) -> int:
        """Takes what is there; returns how many predictions were read."""
        messages = [each for each in self._consumer.consume(5_000, 0.05) if not each.error()]
        for message in messages:
            self.counted[self._decode.decode(message.value()).source] += 1
            self._at[message.partition()] = message.offset() + 1
        if messages:
            self._read_at = time.monotonic()
        elif time.monotonic() > self._read_at + SILENT_S:
            self.close()
            self._consumer, self._read_at = self._new(), time.monotonic()
        return len(messages)

    def close(self) -> None:
        """Gives up the client."""
        self._consumer.close()
