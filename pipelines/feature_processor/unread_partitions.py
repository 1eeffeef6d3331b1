"""Partitions that no member of the group reads, although the group is at rest."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

_TIMEOUT_S = 5.0


class UnreadPartitions:
    """Asks the brokers. Blocks; to be called from a thread.

    A broker that has just come back may say that it knows no partitions of a topic. A group whose leader hears that
    comes to rest with nothing assigned, until aiokafka asks again: 5 minutes (found by `tests/faults`, seed 10).
    """

    def __init__(self, brokers: str, group: str, partitions: Mapping[str, int]) -> None:
        """Args:
        partitions: number of partitions per topic that the group should read.
        """
        self._admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
        self._group = group
        self._all = {(topic, partition) for topic, count in partitions.items() for partition in range(count)}

    def find(self) -> set[tuple[str, int]]:
        """(topic, partition) of those; empty while the group is moving, or the brokers do not answer."""
        try:
            asked = self._admin.describe_consumer_groups([self._group], request_timeout=_TIMEOUT_S)
            group = asked[self._group].result()
        except KafkaException:
            return set()
        if group.state is not ConsumerGroupState.STABLE:
            return set()
        read = {(each.topic, each.partition) for member in group.members for each in member.assignment.topic_partitions}
        return self._all - read
