"""Records that come into no view: dead letters and late events, queued once however often their batch is tried."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from pipelines.adapters import metrics
from pipelines.contract.fence import Position
from pipelines.contract.plan import StreamView
from pipelines.contract.recipients import Recipients
from pipelines.contract.records import Headers, Record, dead_letter_headers, kept_headers
from pipelines.contract.topology import Feed, dead_letter_topic, late_topic
from pipelines.errors import RecordError
from pipelines.feature_processor.router import Producer
from pipelines.steps.poison import GivenUp


class RefusedRecords:
    """Those of one partition. A store that takes no writes delays a batch: every attempt decodes it again."""

    def __init__(self, feed: Feed, project: str, producer: Producer, partition: int) -> None:
        self._feed = feed
        self._project = project
        self._producer = producer
        self._partition = partition
        self._queued: set[tuple[str, int]] = set()
        self._held: list[Callable[[], None]] = []
        self.given_up: dict[int, GivenUp] = {}
        """Dead letters of the present attempt, by the record's place in the batch."""

    def begin_attempt(self) -> None:
        """The batch is prepared, for the first time or again; what no attempt has sent yet is found again."""
        self._held, self.given_up = [], {}

    def send(self) -> None:
        """Queues what this attempt found and no earlier one has queued."""
        for each in self._held:
            each()
        self._held = []

    def first_attempt(self, what: str, offset: int) -> bool:
        """Whether the present batch has not yet done this for a record."""
        key = (what, offset)
        fresh = key not in self._queued
        self._queued.add(key)
        return fresh

    def batch_done(self) -> None:
        """The present batch will not be tried again."""
        self._queued.clear()

    def dead_letter(self, index: int, record: Record, error: RecordError, views: Sequence[str]) -> None:
        """Takes note of a record that can't be used, its bytes untouched.

        Args:
            index: the record's place in the batch.
            views: definitions of those that lack the record; a replay is for them alone.
        """
        position = Position(self._feed.topic, self._partition, record.offset)
        self.given_up.setdefault(index, GivenUp(position, error.reason, str(error)))
        self._held.append(partial(self._send_dead_letter, record, error, position, views))

    def late(self, record: Record, view: StreamView, headers: Headers) -> None:
        """Takes note of an event that comes too late for a view, its bytes untouched."""
        self._held.append(partial(self._send_late, record, view, headers))

    def _send_dead_letter(self, record: Record, error: RecordError, position: Position, views: Sequence[str]) -> None:
        if not self.first_attempt(f"dead letter of {views}: {error}", record.offset):
            return
        refused_by = Recipients(self._project, tuple(views))
        headers = [
            *kept_headers(record.headers, record.timestamp_ms),
            *dead_letter_headers("process", error, position, time.time_ns() // 1_000_000, refused_by),
        ]
        self._producer.produce(dead_letter_topic(self._feed.source.topic), record.value, record.key, headers)
        metrics.DEAD_LETTERS.labels(self._feed.topic, error.reason).inc()

    def _send_late(self, record: Record, view: StreamView, headers: Headers) -> None:
        if not self.first_attempt(f"late for {view.name}", record.offset):
            return
        kept = kept_headers(record.headers, record.timestamp_ms)
        self._producer.produce(late_topic(self._feed.source.topic), record.value, record.key, [*kept, *headers])
        metrics.LATE_EVENTS.labels(view.name).inc()
