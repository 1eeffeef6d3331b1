"""A consumer that tells a test which partitions it was given and which were taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import TopicPartition

Tell = Callable[[set[int]], object]


class ToldConsumer:
    """A consumer of one topic. The test is told once the owner of the consumer has been told."""

    def __init__(self, inner: Any, given: Tell, taken: Tell) -> None:
        self._inner = inner
        self._given, self._taken = given, taken

    def subscribe(self, topics: list[str], on_assign: Callable[..., None], on_revoke: Callable[..., None]) -> None:
        """Subscribes, and tells of every move of partitions."""

        def assigned(consumer: Any, partitions: Sequence[TopicPartition]) -> None:
            on_assign(consumer, partitions)
            self._given({each.partition for each in partitions})

        def revoked(consumer: Any, partitions: Sequence[TopicPartition]) -> None:
            on_revoke(consumer, partitions)
            self._taken({each.partition for each in partitions})

        self._inner.subscribe(topics, on_assign=assigned, on_revoke=revoked)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
