"""The incarnation of the scored topic: a worker reads on only in the topic that its group's offsets are of.

A topic that is deleted and made anew begins at offset 0 again. librdkafka goes on at the old number if the new topic is
that long already, and would leave out all records before it. So every commit carries the topic's id as its metadata,
and a worker that starts from a commit compares it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from confluent_kafka import Consumer, TopicPartition

from pipelines.contract.fence import Lineage
from pipelines.errors import ProgressMismatch

LOOK_S = 5.0
"""How often a running worker asks whether its topic is still the same."""

COMMITTED_TIMEOUT_S = 10.0


class TopicDescriptions(Protocol):
    """What `pipelines.adapters.kafka.Topics` answers."""

    def lineage(self, topic: str) -> Lineage:
        """The present incarnation of a topic."""
        ...


class ScoredTopic:
    """One topic as a worker's consumer found it when it joined."""

    def __init__(
        self, topics: TopicDescriptions, topic: str, group: str, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._topics = topics
        self._topic = topic
        self._group = group
        self._now_s = monotonic_s
        self.topic_id = topics.lineage(topic).topic_id
        self._looked_s = monotonic_s()

    def offset_after(self, partition: int, offset: int) -> TopicPartition:
        """What to commit once the record at `offset` is done."""
        return TopicPartition(self._topic, partition, offset + 1, metadata=self.topic_id)

    def check_commits(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Compares what the group committed on these partitions with the topic as it is now.

        Raises:
            ProgressMismatch: it was committed on another incarnation of the topic.
            KafkaException: the brokers do not say.
        """
        committed: Any = consumer.committed(list(partitions), timeout=COMMITTED_TIMEOUT_S)
        for each in committed:
            # Groups from before ids were kept, and brokers that keep none, have no metadata.
            if each.offset >= 0 and each.metadata and each.metadata != self.topic_id:
                raise self._mismatch(each.metadata, self.topic_id)

    def look(self) -> None:
        """Asks now and then whether the topic is still the same.

        Raises:
            ProgressMismatch: it was made anew.
        """
        if self._now_s() - self._looked_s < LOOK_S:
            return
        present = self._topics.lineage(self._topic).topic_id
        self._looked_s = self._now_s()
        if present != self.topic_id:
            raise self._mismatch(self.topic_id, present)

    def _mismatch(self, known: str, present: str) -> ProgressMismatch:
        return ProgressMismatch(
            f"consumer group {self._group!r} scored topic {self._topic!r} when it had id {known}; the topic now has id "
            f"{present}, so its offsets do not compare: stop all workers of the group, delete its offsets with "
            f"`kafka-consumer-groups.sh --delete --group {self._group}`, then start again; the topic is scored from "
            f"its first record"
        )
