"""Records that come into no view: dead letters and late events, queued once however often their batch is tried."""

from __future__ import annotations

import time

from pipelines.adapters import metrics
from pipelines.contract.fence import Position
from pipelines.contract.plan import StreamView
from pipelines.contract.records import Headers, Record, dead_letter_headers
from pipelines.contract.topology import Feed, dead_letter_topic, late_topic
from pipelines.errors import RecordError
from pipelines.feature_processor.router import Producer


class RefusedRecords:
    """Those of one partition. A store that takes no writes delays a batch: every attempt decodes it again."""

    def __init__(self, feed: Feed, producer: Producer, partition: int) -> None:
        self._feed = feed
        self._producer = producer
        self._partition = partition
        self._queued: set[tuple[str, int]] = set()

    def first_attempt(self, what: str, offset: int) -> bool:
        """Whether the present batch has not yet done this for a record."""
        key = (what, offset)
        fresh = key not in self._queued
        self._queued.add(key)
        return fresh

    def batch_done(self) -> None:
        """The present batch will not be tried again."""
        self._queued.clear()

    def dead_letter(self, record: Record, error: RecordError) -> None:
        """Queues a record that can't be used, its bytes untouched."""
        if not self.first_attempt(f"dead letter: {error}", record.offset):
            return
        position = Position(self._feed.topic, self._partition, record.offset)
        headers = dead_letter_headers("process", error, position, time.time_ns() // 1_000_000)
        self._producer.produce(dead_letter_topic(self._feed.source.topic), record.value, record.key, headers)
        metrics.DEAD_LETTERS.labels(self._feed.topic, error.reason).inc()

    def late(self, record: Record, view: StreamView, headers: Headers) -> None:
        """Queues an event that comes too late for a view, its bytes untouched."""
        if not self.first_attempt(f"late for {view.name}", record.offset):
            return
        self._producer.produce(late_topic(self._feed.source.topic), record.value, record.key, headers)
        metrics.LATE_EVENTS.labels(view.name).inc()
