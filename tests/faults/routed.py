"""What has been routed: watched as it comes, and counted at the end."""

from __future__ import annotations

import struct
import time
from collections import Counter
from typing import NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition

from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.kafka.topics import feeds
from forebay.pipelines.contract.store.keys import progress_key, tells_progress
from forebay.pipelines.contract.store.progress import decode_progress
from tests.e2e.broker import read_topic
from tests.e2e.deployment import Place
from tests.e2e.offline import At
from tests.faults.broken import patiently
from tests.faults.topics import ends


class RoutedAgain(NamedTuple):
    """A routed record whose process was killed before it could note that it had routed it."""

    topic: str
    source: At


class RoutedTail:
    """The records that come to the routed topics from now on."""

    def __init__(self, place: Place) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": place.brokers, "group.id": "tail", "fetch.wait.max.ms": 20, "log_level": 0}
        )
        self._consumer.assign(
            [
                TopicPartition(topic, partition, end)
                for topic in routed_topics(place)
                for partition, end in ends(place.brokers, topic).items()
            ]
        )

    def first(self, seconds: float) -> RoutedAgain | None:
        """The first of them; None if none comes in this time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            message = self._consumer.poll(left)
            if message is not None and message.error() is None:
                return RoutedAgain(message.topic(), source_of(message))
        return None

    def close(self) -> None:
        """Stops watching."""
        self._consumer.close()


def source_of(message: Message) -> At:
    """Where a routed record comes from."""
    (position,) = [value for name, value in message.headers() if name == "forebay-source"]
    partition, offset = struct.unpack(">IQ", position[:12])
    return partition, offset


def source_passed(place: Place, source: At) -> bool:
    """Whether some progress on the source topic, of a route or of a view, contains this record."""
    partition, offset = source
    store = RedisStore(place.redis)
    stored = store.read_hash(progress_key(place.plan.project, place.topic, partition))
    store.close()
    return any(decode_progress(each).offset >= offset for field, each in stored.items() if tells_progress(field))


def routed_sources(place: Place) -> Counter[RoutedAgain]:
    """How often each record of the source topic is in each routed topic."""
    counted: Counter[RoutedAgain] = Counter()
    for topic in routed_topics(place):
        messages = patiently(lambda topic=topic: read_topic(place.brokers, topic), f"all of {topic}")  # type: ignore[misc]
        counted.update(RoutedAgain(topic, source_of(each)) for each in messages)
    return counted


def routed_topics(place: Place) -> list[str]:
    """Their names."""
    return [feed.topic for feed in feeds(place.plan) if feed.routed]
