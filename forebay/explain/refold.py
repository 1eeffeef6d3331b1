"""Folds the rows of a prediction's entities again, from the records of their topics up to the prediction's fences.

The processor's own walk runs over them, into a store in memory. Records from before the longest window are left out:
no event in them can be inside of it, since no event may say that it happened much later than its record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from forebay.explain.log import RecordLog
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.record import Record, source_position
from forebay.pipelines.contract.kafka.topics import Feed, feeds
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import ServiceView
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.feature_processor.walk.parts import topic_parts
from forebay.pipelines.feature_processor.walk.rekey import Rekeyer
from forebay.pipelines.feature_processor.walk.topic_batch import TopicBatches
from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.decode.decoder import SchemaSource, decoder_for
from forebay.pipelines.steps.decode.event_type import attribute
from forebay.pipelines.steps.event_time import to_event_ms
from forebay.serving.features.read import FeatureReader, join_fields, view_definition
from forebay.serving.features.request import ScoringRequest
from forebay.serving.features.rows import ViewColumns


class OwnEvent(NamedTuple):
    """A record of the entity whose row is folded."""

    record: Record
    event_ms: int
    refused: str
    """Why it is not in the row; empty: it is."""


class Kafka(NamedTuple):
    """What is asked of Kafka."""

    log: RecordLog
    incarnation: Callable[[str], Incarnation]
    """Of a topic, as it is now."""
    schemas: Callable[[Source], SchemaSource | None]


class RefoldedView:
    """One view of the service, for one request: the records of its topic, and its row."""

    def __init__(
        self, plan: Plan, used: ServiceView, request: ScoringRequest, fence: Position | None, kafka: Kafka
    ) -> None:
        """Args:
        fence: the last record in the row; None: there was no row.

        Raises:
            SettingsError: a topic can't be read.
        """
        definition = view_definition(plan, used)
        assert isinstance(definition, StreamView)
        self.used = used
        self.view = definition
        self.entity = {
            key.name: request.fields.get(field)
            for key, field in zip(definition.join_keys, join_fields(plan, used), strict=True)
        }
        self._plan = plan
        self._request = request
        self._feed = _feed_of(plan, definition)
        source = kafka.incarnation(self._feed.source.topic)
        self._incarnation = kafka.incarnation(self._feed.topic).routed_from(source) if self._feed.routed else source
        self._routed = {each.topic: kafka.incarnation(each.topic).routed_from(source) for each in self._feed.routes}
        self._schemas = kafka.schemas(self._feed.source)
        self._partition = fence.partition if fence else 0
        self._records: Sequence[Record] = ()
        if fence:
            from_ms = request.as_of_ms - earliest_before_ms(definition, self._feed.source)
            self._records = kafka.log.since(fence.topic, fence.partition, from_ms, fence.offset)
        refused = self._fold(self._records)
        self.columns = self._read()
        self.events = self._own_events(refused)
        """The entity's own, in the order of the topic."""

    @property
    def fence(self) -> str | None:
        """The last record in the row, as it was folded."""
        return self.columns.fences[0]

    def position(self, event: OwnEvent) -> Position:
        """Finds the position of one of the events."""
        return Position(self._feed.topic, self._partition, event.record.offset)

    def without(self, offsets: Collection[int]) -> ViewColumns:
        """Computes the view's columns as they would be without these records of the entity."""
        kept = [each.record for each in self.events if not each.refused and each.record.offset not in offsets]
        self._fold(kept)
        return self._read()

    def _fold(self, records: Sequence[Record]) -> Mapping[Position, str]:
        """Folds records into an empty store; what was refused, and why."""
        letters = _Letters()
        self._store = MemoryStore()
        parts = topic_parts(
            self._feed,
            self._plan.project,
            self._store,
            letters,
            self._incarnation,
            rekeyer=Rekeyer(self._feed.routes, self._routed, letters) if self._feed.routes else None,
            schemas=self._schemas,
        )
        pipeline = TopicBatches(parts, publishes=False)
        pipeline.assign({self._partition: records[0].offset if records else 0})
        pipeline.begin()
        if records:
            pipeline.process({self._partition: records})
        return letters.reasons

    def _read(self) -> ViewColumns:
        reader = FeatureReader(self._plan, [self.used], self._store)
        return reader.read([self._request], _as_of(self._request))[self.used.alias]

    def _own_events(self, refused: Mapping[Position, str]) -> list[OwnEvent]:
        source = self._feed.source
        decoded = decoder_for(source, self._schemas)([each.value for each in self._records])
        own = []
        for record, event in zip(self._records, decoded.events, strict=True):
            if event is None or any(getattr(event, attribute(name)) != value for name, value in self.entity.items()):
                continue
            event_ms = to_event_ms(getattr(event, attribute(source.timestamp_field)), source.time_unit)
            if event_ms is not None:
                own.append(OwnEvent(record, event_ms, self._reason(record, refused)))
        return own

    def _reason(self, record: Record, refused: Mapping[Position, str]) -> str:
        """Finds why a record was refused: by its place in this topic, or in the one that it was re-keyed from."""
        here = Position(self._feed.topic, self._partition, record.offset)
        # First here: a record of a routed topic that Forebay did not write is refused, and has no origin.
        if here in refused or not self._feed.routed:
            return refused.get(here, "")
        origin = source_position(record)
        return refused.get(Position(self._feed.source.topic, origin.partition, origin.offset), "")


class RefoldedViews:
    """Implements `features.assemble.ViewReader` for one request: refolded stream views, others as stored now."""

    def __init__(self, views: Sequence[RefoldedView], stored: FeatureReader, request: ScoringRequest) -> None:
        """Args:
            stored: of the views that are not refolded; read once.

        Raises:
            StoreUnavailable: they can't be read.
        """
        refolded = {each.used.alias: each.columns for each in views}
        self._columns = {**stored.read([request], _as_of(request)), **refolded}

    @contextmanager
    def instead(self, alias: str, columns: ViewColumns) -> Iterator[None]:
        """Shows other columns of one view while the context lasts."""
        whole = self._columns
        self._columns = {**whole, alias: columns}
        try:
            yield
        finally:
            self._columns = whole

    def read(self, _requests: Sequence[ScoringRequest], _as_of_ms: Ints) -> Mapping[str, ViewColumns]:
        """See `ViewReader.read`."""
        return self._columns


def earliest_before_ms(view: StreamView, source: Source) -> int:
    """Computes how long before a time records of events in its windows may have been written."""
    slides = max(each.slide_ms for each in view.aggregations)
    return view.longest_window_ms + slides + source.allowed_ahead_ms


def _feed_of(plan: Plan, view: StreamView) -> Feed:
    """Finds the topic that a view is computed from, with all its views: the keys of each decide which records are
    invalid.
    """
    for feed in feeds(plan):
        if view in feed.views:
            return feed
    raise KeyError(view.name)


def _as_of(request: ScoringRequest) -> Ints:
    return np.array([request.as_of_ms], dtype=np.int64)


class _Letters:
    """Implements the walk's `Producer`: remembers which records are refused, and why."""

    def __init__(self) -> None:
        self.reasons: dict[Position, str] = {}

    def produce(
        self,
        _topic: str,
        _value: bytes | None,
        _key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        _partition: int = -1,
        _timestamp_ms: int = -1,
    ) -> None:
        """Notes a dead letter or a late event; what is re-keyed for other views is dropped."""
        named = {name: (text or b"").decode(errors="replace") for name, text in headers}
        position = Position.parse(named.get("forebay-position", ""))
        if position:
            self.reasons[position] = named["forebay-reason"]

    def flush(self) -> None:
        """Does nothing: no record is sent."""
