"""One set of tests for two brokers: the fake one, and Apache Kafka."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from confluent_kafka import Consumer, Producer

from forebay.local.topics import create_topics
from forebay.pipelines.adapters.kafka.admin import Topics
from forebay.pipelines.adapters.kafka.connection import Brokers
from tests.e2e.broker import read_topic
from tests.support.broker.broker import FakeBroker


class Cluster(Protocol):
    """A broker with topics of this test alone, and clients of it."""

    bootstrap: str

    def create(self, partitions: int, name: str = "") -> str:
        """Creates a topic, by a random name if none is given; its name."""
        ...

    def consumer(self, config: Mapping[str, Any]) -> Any:
        """A consumer of confluent-kafka, or one like it."""
        ...

    def producer(self, config: Mapping[str, Any]) -> Any:
        """The same of a producer."""
        ...

    def topics(self, brokers: Brokers) -> Any:
        """What the worker asks about topics."""
        ...

    def read(self, topic: str) -> list[Any]:
        """Every committed record of the topic, partition by partition."""
        ...


class FakeCluster:
    """See `Cluster`."""

    bootstrap = "fake:1"

    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.consumer, self.producer, self.read = self.broker.consumer, self.broker.producer, self.broker.read

    def create(self, partitions: int, name: str = "") -> str:
        topic = name or f"topic.{uuid.uuid4().hex}"
        self.broker.create(topic, partitions)
        return topic

    def topics(self, brokers: Brokers) -> FakeBroker:
        return self.broker


class KafkaCluster(NamedTuple):
    """See `Cluster`."""

    bootstrap: str

    def create(self, partitions: int, name: str = "") -> str:
        topic = name or f"topic.{uuid.uuid4().hex}"
        create_topics(self.bootstrap, {topic: partitions})
        return topic

    def consumer(self, config: Mapping[str, Any]) -> Consumer:
        return Consumer({"bootstrap.servers": self.bootstrap, **config})

    def producer(self, config: Mapping[str, Any]) -> Producer:
        return Producer({"bootstrap.servers": self.bootstrap, **config})

    def topics(self, brokers: Brokers) -> Topics:
        return Topics(brokers)

    def read(self, topic: str) -> list[Any]:
        return read_topic(self.bootstrap, topic)
