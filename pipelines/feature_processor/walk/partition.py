"""One partition's part of a batch: decode, validate, route, transform, and judge by its own past."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from forebay.pipelines.adapters import metrics
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.record import Record, recorded_ms
from forebay.pipelines.contract.plan.definition import definition
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.progress import Progress, SourceProgress
from forebay.pipelines.errors import RecordError, TransformError
from forebay.pipelines.feature_processor.progress.cannot_continue import misplaced, no_key
from forebay.pipelines.feature_processor.progress.ledger import Incarnations, ProgressLedger
from forebay.pipelines.feature_processor.walk.addressed import Addressed
from forebay.pipelines.feature_processor.walk.origins import OriginReader, Origins
from forebay.pipelines.feature_processor.walk.parts import TopicParts
from forebay.pipelines.feature_processor.walk.refused import LateEvent, RefusedRecords
from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.dead_letter_limit import Attempt
from forebay.pipelines.steps.events import EventBatch
from forebay.pipelines.steps.lateness import too_late
from forebay.pipelines.steps.transform import Transform, transform_each


class Prepared(NamedTuple):
    """One partition's batch, ready to be folded."""

    partition: int
    records: Sequence[Record]
    events: dict[str, tuple[EventBatch, Ints]]
    """By view that has some: events, and their offsets, shape (n,)."""
    sources: dict[str, dict[int, SourceProgress]]
    """By view that comes forward, its source partitions afterwards."""
    attempt: Attempt
    """Which of the records are dead letters."""


class Partition:
    """Prepares the batches of one partition, and keeps its progress."""

    def __init__(self, parts: TopicParts, partition: int, earliest: int) -> None:
        self._parts = parts
        self._feed = parts.feed
        self._partition = partition
        self._origins = OriginReader(parts.feed, parts.incarnation, partition)
        self._refused = RefusedRecords(parts.feed, parts.project, parts.producer, partition)
        incarnations = Incarnations(parts.incarnation, parts.rekeyer.incarnations if parts.rekeyer else {})
        self.ledger = ProgressLedger(parts.project, parts.feed, parts.store, incarnations, partition)
        self.ledger.load(earliest)

    def prepare(self, records: Sequence[Record]) -> Prepared:
        """Decodes, validates, routes and transforms records, and drops what is late or repeats: all before the fold.

        Nothing of it is kept: a batch that fails later is prepared again.
        """
        self._refused.begin_attempt()
        addressed = Addressed(self._parts.project, records)
        batch, origins = self._decode(records, addressed)
        if self._parts.rekeyer and self._refused.first_attempt("route", records[0].offset):
            to_route = addressed.select(batch, self._feed.routed_definitions)
            self._parts.rekeyer.rekey(to_route, records, self._partition, self.ledger.routed())
        prepared = Prepared(self._partition, records, {}, {}, Attempt(len(records), self._refused.given_up))
        offsets = np.array([record.offset for record in records], dtype=np.int64)
        for progress, members in self._by_progress():
            if progress.offset >= offsets[-1]:
                continue
            sources = dict(progress.sources)
            new = self._drop_unkeyed(batch.select(offsets[batch.index] > progress.offset), records)
            new, watermark = self._origins.drop_duplicates(new, origins, sources)
            for view, transform in members:
                kept = self._transform(view, transform, addressed.select(new, (definition(view),)), records)
                kept = self._drop_late(view, kept, records, origins, watermark)
                prepared.sources[view.name] = sources
                if len(kept):
                    prepared.events[view.name] = (kept, offsets[kept.index])
        return prepared

    def send_refused(self) -> None:
        """Queues the dead letters and late events of the batch that was prepared."""
        self._refused.send()

    def advanced(self, reached: int, sources: Mapping[str, Mapping[int, SourceProgress]]) -> dict[bytes, Progress]:
        """Computes the progress to write once all records up to `reached` are contained (see
        `ProgressLedger.advanced`).

        Args:
            sources: by view that has come forward by a record, its source partitions.
        """
        behind = [view for view in self._feed.views if self.ledger.of(view).offset < reached]
        return self.ledger.advanced(
            reached, {view.name: sources.get(view.name, self.ledger.of(view).sources) for view in behind}
        )

    def done(self, records: Sequence[Record]) -> None:
        """Takes note that a batch is complete, its progress in the store.

        Args:
            records: none where only what no one is handed was read: markers, and records of aborted transactions.
        """
        self._refused.batch_done()
        if records:
            self._count(records)

    def _by_progress(self) -> list[tuple[Progress, list[tuple[StreamView, Transform]]]]:
        """Groups views that have come equally far; a view that was added later has its own past."""
        groups: list[tuple[Progress, list[tuple[StreamView, Transform]]]] = []
        for view, transform in self._parts.views:
            progress = self.ledger.of(view)
            same = next((members for known, members in groups if known == progress), None)
            if same is None:
                groups.append((progress, [(view, transform)]))
            else:
                same.append((view, transform))
        return groups

    def _decode(self, records: Sequence[Record], addressed: Addressed) -> tuple[EventBatch, Origins]:
        decoded = self._parts.decode([record.value for record in records])
        batch, invalid = self._parts.validate(decoded.events, self._recorded_ms(records))
        errors: dict[int, RecordError] = {**decoded.errors, **invalid, **addressed.errors}
        origins = self._origins.of(records, errors)
        others = addressed.for_others([*map(definition, self._feed.views), *self._feed.routed_definitions])
        if errors or others:
            batch = batch.select(~np.isin(batch.index, [*errors, *others]))
        present = origins.partitions[batch.index] >= 0
        if not present.all():
            metrics.DUPLICATES.labels(self._feed.topic).inc(int(len(present) - present.sum()))
            batch = batch.select(present)
        for index, error in sorted(errors.items()):
            lacking = addressed.among(index, self._lacking(records[index]))
            if lacking or index not in addressed:  # nothing that is for everyone is given up in silence
                self._refused.dead_letter(index, records[index], error, lacking)
        return batch, origins

    def _lacking(self, record: Record) -> list[str]:
        """Lists the definitions that have not taken a record, of this topic and of those it is routed into."""
        direct = [definition(view) for view in self._feed.views if self.ledger.of(view).offset < record.offset]
        routed = any(offset < record.offset for offset in self.ledger.routed().values())
        return [*direct, *(self._feed.routed_definitions if routed else ())]

    def _recorded_ms(self, records: Sequence[Record]) -> Ints | None:
        """Reads when the records were written; None for routed ones, which were judged on the topic before."""
        if self._feed.routed:
            return None
        return recorded_ms([record.timestamp_ms for record in records], self._parts.now_ms())

    def _drop_unkeyed(self, batch: EventBatch, records: Sequence[Record]) -> EventBatch:
        """Refuses events whose record has no key: any partition may have got them, and the first gets the entity."""
        if self._feed.routed:
            return batch
        keyed = np.array([records[at].key is not None for at in batch.index.tolist()], dtype=bool)
        if keyed.all():
            return batch
        # Where a part of the key is null there is no entity, and no view takes the event, wherever it is.
        for name in self._feed.source.key:
            keyed |= np.array([value is None for value in batch.values(name)], dtype=bool)
        for at in batch.index[~keyed].tolist():
            lacking = [definition(view) for view in self._feed.views]
            self._refused.dead_letter(at, records[at], no_key(self._feed.source), lacking)
        return batch.select(keyed)

    def refuse_misplaced(self, index: int, record: Record, owner: int, lacking: Sequence[str]) -> None:
        """Refuses a record whose entity's row is computed from another partition, as the store has said.

        Args:
            index: the record's place in the batch.
            owner: that partition.
            lacking: definitions of the views that it does not come into.
        """
        self._refused.dead_letter(index, record, misplaced(self._feed.source, self._partition, owner), lacking)

    def _transform(
        self, view: StreamView, transform: Transform, batch: EventBatch, records: Sequence[Record]
    ) -> EventBatch:
        if not len(batch):
            return batch
        kept, errors = transform_each(transform, batch)
        for index, error in sorted(errors.items()):
            named = TransformError(f"view {view.name!r}: {error}")
            self._refused.dead_letter(index, records[index], named, (definition(view),))
        return kept

    def _drop_late(
        self,
        view: StreamView,
        batch: EventBatch,
        records: Sequence[Record],
        origins: Origins,
        watermark: Ints,
    ) -> EventBatch:
        late = too_late(batch.event_ms, watermark[batch.index], self._feed.source.allowed_lateness_of(view))
        if not late.any():
            return batch
        for index, event_ms in zip(batch.index[late].tolist(), batch.event_ms[late].tolist(), strict=True):
            position = Position(self._feed.source.topic, int(origins.partitions[index]), int(origins.offsets[index]))
            self._refused.late(records[index], view, LateEvent(event_ms, int(watermark[index]), position))
        return batch.select(~late)

    def _count(self, records: Sequence[Record]) -> None:
        topic = self._feed.topic
        metrics.RECORDS.labels(topic).inc(len(records))
        metrics.BATCHES.labels(topic).inc()
        metrics.FRESHNESS_SECONDS.labels(topic).observe(max(0.0, time.time() - records[0].timestamp_ms / 1_000))
        newest_ms = max(0, self.ledger.watermark_ms())
        metrics.WATERMARK_SECONDS.labels(topic, self._partition).set(newest_ms / 1_000)
