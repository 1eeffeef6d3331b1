"""The incarnation of the scored topic that offsets were committed in: in another one they say nothing.

librdkafka reads on at the old number where a topic was deleted, made anew, and is longer by then: what is before it
would never be scored, and nothing would say so. So every committed offset carries the topic's id as its metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from forebay.pipelines.adapters.kafka.topic_watch import Glance, TopicWatch
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.errors import ProgressMismatch
from forebay.serving.worker.settings import WorkerSettings

_METADATA = "forebay-topic-id="
ANSWER_S = 1.0


class ScoredIncarnation:
    """Refuses to go on in another incarnation of the topic than the worker began, or committed, in."""

    def __init__(self, settings: WorkerSettings, topics: Glance, known: Incarnation) -> None:
        """Args:
        known: the incarnation that is read.
        """
        self._settings = settings
        self._id = known.topic_id
        self._watch = TopicWatch(topics, known)
        self._unchecked: set[int] = set()
        """Partitions whose committed offsets were not looked at yet."""

    def start(self) -> None:
        """Begins to watch."""
        self._watch.start()

    def stop(self) -> None:
        """Watches no more."""
        self._watch.stop()

    def assigned(self, partitions: Iterable[int]) -> None:
        """Takes note of partitions whose committed offsets are to be looked at."""
        self._unchecked |= set(partitions)

    def revoked(self, partitions: Iterable[int]) -> None:
        """Takes note that these are not read any more."""
        self._unchecked -= set(partitions)

    def marked(self, offsets: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Marks offsets to be committed with the incarnation that they belong to."""
        return [
            TopicPartition(each.topic, each.partition, each.offset, metadata=f"{_METADATA}{self._id}")
            for each in offsets
        ]

    def check(self, consumer: Consumer) -> bool:
        """Tells whether what is read is known to belong to the incarnation; False while the brokers do not say.

        Raises:
            ProgressMismatch: it belongs to another one.
        """
        if self._watch.other is not None:
            raise self._refusal(f"was read with id {self._id}; it now has id {self._watch.other.topic_id}")
        if self._unchecked:
            asked = [TopicPartition(self._settings.topic, each) for each in self._unchecked]
            try:
                committed = consumer.committed(asked, ANSWER_S)
            except KafkaException:
                return False
            for each in committed:
                self._check_committed(each)
            self._unchecked.clear()
        return True

    def _check_committed(self, committed: TopicPartition) -> None:
        if committed.offset < 0 or not (committed.metadata or "").startswith(_METADATA):
            return
        stored = committed.metadata.removeprefix(_METADATA)
        if stored != self._id:
            at = f"{committed.topic}[{committed.partition}]@{committed.offset}"
            raise self._refusal(f"had id {stored} when {at} was committed; it now has id {self._id}")

    def _refusal(self, what: str) -> ProgressMismatch:
        topic, group = self._settings.topic, self._settings.group
        return ProgressMismatch(
            f"topic {topic!r} {what}: it was deleted and made anew, so its offsets do not compare, and records before "
            f"them would never be scored: stop all workers of the group, give up its offsets with "
            f"`kafka-consumer-groups --bootstrap-server {self._settings.brokers} --group {group} --topic {topic} "
            f"--reset-offsets --to-earliest --execute`, then start again"
        )
