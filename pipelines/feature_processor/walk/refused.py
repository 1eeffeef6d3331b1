"""Queues dead letters and late events, each once however often its batch is tried.

One letter per record, which names all views that refuse it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from forebay.pipelines.adapters import metrics
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.recipients import Recipients
from forebay.pipelines.contract.kafka.record import Record, dead_letter_headers, kept_headers, late_headers
from forebay.pipelines.contract.kafka.topics import Feed, dead_letter_topic, late_topic
from forebay.pipelines.contract.plan.definition import definition
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.errors import RecordError
from forebay.pipelines.feature_processor.walk.rekey import Producer
from forebay.pipelines.steps.dead_letter_limit import GivenUp


class _DeadLetter(NamedTuple):
    record: Record
    errors: list[RecordError]
    views: list[str]
    """Definitions, each once."""


class LateEvent(NamedTuple):
    """What a late event is judged by."""

    event_ms: int
    watermark_ms: int
    position: Position
    """On the source topic."""


class RefusedRecords:
    """The refused records of one partition. While the store takes no writes, every attempt decodes the batch again."""

    def __init__(self, feed: Feed, project: str, producer: Producer, partition: int) -> None:
        self._feed = feed
        self._project = project
        self._producer = producer
        self._partition = partition
        self._queued: set[tuple[str, int]] = set()
        self._dead: dict[int, _DeadLetter] = {}
        self._late: dict[LateEvent, tuple[Record, list[StreamView]]] = {}
        self.given_up: dict[int, GivenUp] = {}
        """Dead letters of the present attempt, by the record's place in the batch."""

    def begin_attempt(self) -> None:
        """Begins an attempt to prepare the batch; refusals that were not sent yet are found again."""
        self._dead, self._late, self.given_up = {}, {}, {}

    def send(self) -> None:
        """Queues what this attempt found and no earlier one has queued."""
        for letter in self._dead.values():
            self._send_dead_letter(letter)
        for event, (record, views) in self._late.items():
            self._send_late(record, event, views)
        self._dead, self._late = {}, {}

    def first_attempt(self, what: str, offset: int) -> bool:
        """Tells whether this is done for a record of the present batch for the first time."""
        key = (what, offset)
        fresh = key not in self._queued
        self._queued.add(key)
        return fresh

    def batch_done(self) -> None:
        """Takes note that the present batch will not be tried again."""
        self._queued.clear()

    def dead_letter(self, index: int, record: Record, error: RecordError, views: Sequence[str]) -> None:
        """Takes note of a record that can't be used, its bytes untouched.

        Args:
            index: the record's place in the batch.
            views: definitions of those that lack the record; a replay is for them alone.
        """
        self.given_up.setdefault(index, GivenUp(self._position(record), error.reason, str(error)))
        letter = self._dead.setdefault(index, _DeadLetter(record, [], []))
        letter.errors.append(error)
        letter.views.extend(view for view in views if view not in letter.views)

    def late(self, record: Record, view: StreamView, event: LateEvent) -> None:
        """Takes note of an event that comes too late for a view, its bytes untouched."""
        self._late.setdefault(event, (record, []))[1].append(view)

    def _position(self, record: Record) -> Position:
        return Position(self._feed.topic, self._partition, record.offset)

    def _send_dead_letter(self, letter: _DeadLetter) -> None:
        record, views = letter.record, tuple(letter.views)
        error = _together(letter.errors)
        if not self.first_attempt(f"dead letter of {views}: {error}", record.offset):
            return
        refused_by = Recipients(self._project, views)
        headers = [
            *kept_headers(record.headers, record.timestamp_ms),
            *dead_letter_headers("process", error, self._position(record), time.time_ns() // 1_000_000, refused_by),
        ]
        self._producer.produce(dead_letter_topic(self._feed.source.topic), record.value, record.key, headers)
        metrics.DEAD_LETTERS.labels(self._feed.topic, error.reason).inc()

    def _send_late(self, record: Record, event: LateEvent, views: Sequence[StreamView]) -> None:
        late_for = Recipients(self._project, tuple(map(definition, views)))
        if not self.first_attempt(f"late for {late_for.views}", record.offset):
            return
        headers = [*kept_headers(record.headers, record.timestamp_ms), *late_headers(late_for, *event)]
        self._producer.produce(late_topic(self._feed.source.topic), record.value, record.key, headers)
        for view in views:
            metrics.LATE_EVENTS.labels(view.name).inc()


def _together(errors: Sequence[RecordError]) -> RecordError:
    """Joins errors to one that says what all of them say; its reason is the first one's."""
    first, *more = dict.fromkeys(map(str, errors))
    return type(errors[0])("; ".join((first, *more))) if more else errors[0]
