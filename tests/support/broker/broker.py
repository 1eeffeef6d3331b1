"""The fake broker: topics and groups, and the clients that reach them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from forebay.pipelines.contract.kafka.incarnation import Incarnation
from tests.support.broker.consumer import FakeConsumer
from tests.support.broker.group import Group
from tests.support.broker.log import PartitionLog
from tests.support.broker.message import FakeMessage
from tests.support.broker.producer import FakeProducer


class FakeBroker:
    """One broker; its clients may be used from any thread, each from one."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        """Held while anything is read or written; notified after every change."""
        self.producers: dict[str, FakeProducer] = {}
        """By transactional id, the one that began last."""
        self._topics: dict[str, list[PartitionLog]] = {}
        self._groups: dict[str, Group] = {}
        self._failures: defaultdict[str, list[KafkaException]] = defaultdict(list)

    def create(self, topic: str, partitions: int) -> None:
        """Creates a topic."""
        with self.changed:
            self._topics[topic] = [PartitionLog() for _ in range(partitions)]

    def fail(self, call: str, *errors: KafkaError) -> None:
        """Makes the next calls of this name fail, one by one, in whatever client."""
        self._failures[call] += [KafkaException(each) for each in errors]

    def consumer(self, config: Mapping[str, Any]) -> FakeConsumer:
        """A client like `confluent_kafka.Consumer`."""
        return FakeConsumer(self, config)

    def producer(self, config: Mapping[str, Any]) -> FakeProducer:
        """A client like `confluent_kafka.Producer`."""
        return FakeProducer(self, config)

    def read(self, topic: str) -> list[FakeMessage]:
        """Every committed record of the topic, partition by partition."""
        found = []
        with self.changed:
            self.end_overdue()
            for log in self._topics[topic]:
                message, position = log.read(0)
                while message is not None:
                    found.append(message)
                    message, position = log.read(position)
        return found

    def incarnation(self, topic: str) -> Incarnation:
        """See `Topics.incarnation`."""
        return Incarnation(topic, f"id of {topic}", len(self._topics[topic]))

    def glance(self, *topics: str) -> dict[str, Incarnation]:
        """See `Topics.glance`."""
        return {topic: self.incarnation(topic) for topic in topics if topic in self._topics}

    def partitions(self, topic: str) -> int:
        """How many a topic has; 0 where it does not exist."""
        return len(self._topics.get(topic, ()))

    def log(self, topic: str, partition: int) -> PartitionLog:
        return self._topics[topic][partition]

    def group(self, name: str) -> Group:
        return self._groups.setdefault(name, Group(name))

    def end_overdue(self) -> None:
        """Aborts the transactions that have taken too long, as the brokers do."""
        self.producers = {name: each for name, each in self.producers.items() if not each.end_if_overdue()}

    def check_failure(self, call: str) -> None:
        """Raises what the call was told to fail with."""
        if self._failures[call]:
            raise self._failures[call].pop(0)
