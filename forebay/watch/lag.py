"""Measures the lag of the feature processor: the records in the topics that the store does not contain yet."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, TopicPartition

from forebay.pipelines.adapters.kafka.admin import Topics
from forebay.pipelines.adapters.kafka.connection import Brokers, client_config
from forebay.pipelines.adapters.progress_reader import ProgressReader
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.errors import SettingsError
from forebay.serving.worker.build import online_views


class ProcessorLag:
    """Compares the brokers' offsets with the store's progress. Not thread-safe.

    Raises:
        SettingsError: a topic does not exist, or the brokers do not answer.
    """

    def __init__(self, plan: Plan, brokers: Brokers, redis: str) -> None:
        self._brokers = brokers
        sources = {source.topic for source in plan.sources}
        # Source topics first: what they had to route is in the routed topics when the ends of those are asked for.
        self._views = sorted(online_views(plan, Topics(brokers)), key=lambda each: each.topic not in sources)
        self._progress = ProgressReader(plan.project, self._views, RedisStore(redis))
        self._consumer = Consumer(
            client_config(
                brokers,
                {
                    "group.id": f"{plan.project}.lag",
                    # The end is then the end of what may be read: before the first open transaction.
                    "isolation.level": "read_committed",
                    "log_level": 0,
                },
            )
        )

    def records(self) -> dict[str, int]:
        """Returns, per topic that views are computed from, the number of records that some view does not contain yet.

        Raises:
            SettingsError: the brokers do not answer.
            StoreUnavailable: progress can't be read.
        """
        retained: dict[tuple[str, int], tuple[int, int]] = {}
        behind: dict[str, int] = {}
        for each in self._views:
            missing = 0
            for partition in range(each.partitions):
                where = (each.topic, partition)
                if where not in retained:
                    retained[where] = self._retained(*where)
                first, end = retained[where]
                progress = self._progress.progress(each, partition)
                # An end that was told before the progress was made takes nothing from other partitions' lag.
                missing += max(0, end - max(first, progress.offset + 1 if progress else 0))
            behind[each.topic] = max(behind.get(each.topic, 0), missing)
        return behind

    def close(self) -> None:
        """Closes the connections to the brokers."""
        self._consumer.close()

    def _retained(self, topic: str, partition: int) -> tuple[int, int]:
        """Returns the first offset that Kafka retains, and the one after the last."""
        try:
            first, end = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10.0)
        except KafkaException as error:
            raise SettingsError(f"{self._brokers} does not say where {topic}[{partition}] ends: {error}") from error
        return int(first), int(end)
