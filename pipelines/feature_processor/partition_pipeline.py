"""The walk of one batch of one partition: decode, validate, route, aggregate, write, progress."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipelines.adapters import metrics
from pipelines.adapters.store import Store
from pipelines.contract.fence import Lineage, Position
from pipelines.contract.progress import Progress, SourceProgress
from pipelines.contract.records import (
    Record,
    late_headers,
    recorded_ms,
    source_position,
)
from pipelines.contract.topology import Feed
from pipelines.errors import DecodeError, RecordError
from pipelines.feature_processor.progress_ledger import Lives, ProgressLedger
from pipelines.feature_processor.publications import Publications
from pipelines.feature_processor.refused_records import RefusedRecords
from pipelines.feature_processor.router import Producer, Router
from pipelines.feature_processor.view_writer import ReadFrom, ViewWriter
from pipelines.steps.arrays import Ints
from pipelines.steps.decode import SchemaSource, decoder_for
from pipelines.steps.events import EventBatch
from pipelines.steps.late import too_late, watermarks
from pipelines.steps.transform import Transform, transform_each, view_transform
from pipelines.steps.validate import Validator


class Origins(NamedTuple):
    """Where the records of a batch were first produced."""

    partitions: Ints
    """Shape (n,): source partition per record; -1 where the record does not say, or speaks of a former life."""
    offsets: Ints
    """Shape (n,): source offset per record."""


_NOWHERE = (-1, -1)


class FeedPipeline:
    """Everything that is shared by the partitions of one topic. Not thread-safe."""

    def __init__(
        self,
        feed: Feed,
        project: str,
        store: Store,
        producer: Producer,
        lineage: Lineage,
        router: Router | None,
        schemas: SchemaSource | None = None,
        *,
        publishes: bool = True,
        source_partitions: int | None = None,
    ) -> None:
        """Args:
            schemas: of the topic's events, where they name them by an id.
            publishes: whether what Feast reads is written: not by a process that only catches up.
            source_partitions: of the topic that a routed one is routed from; None: not known.

        Raises:
            SettingsError: they do, and it is not there.
        """
        self.feed = feed
        self.project = project
        self.store = store
        self.producer = producer
        self.lineage = lineage
        self.router = router
        self.publishes = publishes
        self.source_partitions = source_partitions if feed.routed else 1
        """How many partitions of the source an entity's events may come from; None where that is not known."""
        self.decode = decoder_for(feed.source, schemas)
        entities = [view.join_keys for view in feed.views] + [route.join_keys for route in feed.routes]
        self.validate = Validator(feed.source, {key.name for keys in entities for key in keys})
        self.writers = [ViewWriter(view, project, store) for view in feed.views]
        self.transforms: list[Transform] = [view_transform(view) for view in feed.views]
        self.partitions: dict[int, PartitionPipeline] = {}

    def assign(self, partitions: Mapping[int, int]) -> None:
        """Starts afresh on these partitions: nothing of a former assignment is kept. The store is left as it is.

        Args:
            partitions: each with the first offset that Kafka retains.

        Raises:
            StoreUnavailable: it can be tried again.
            ProgressMismatch: the topic is not the one that progress was made on, or lacks records since.
        """
        for writer in self.writers:
            writer.forget()
        self.partitions = {
            partition: PartitionPipeline(self, partition, earliest) for partition, earliest in partitions.items()
        }

    def begin(self) -> None:
        """After `assign`, before the first batch: the store is told what is computed here from now on.

        Raises:
            StoreUnavailable: it can be tried again.
        """
        for partition in self.partitions.values():
            partition.begin()


class PartitionPipeline:
    """Processes the batches of one partition."""

    def __init__(self, shared: FeedPipeline, partition: int, earliest: int) -> None:
        self._shared = shared
        self._feed = shared.feed
        self._read_from = ReadFrom(shared.lineage, partition)
        self._refused = RefusedRecords(shared.feed, shared.producer, partition)
        lives = Lives(shared.lineage, shared.router.lives if shared.router else {})
        self.ledger = ProgressLedger(shared.project, shared.feed, shared.store, lives, partition)
        self.ledger.load(earliest)
        self.publications = Publications(shared.feed.views, self.ledger, shared.store, shared.publishes)

    def begin(self) -> None:
        """See `FeedPipeline.begin`."""
        self.ledger.begin()
        self.publications.take_over()

    def process(self, records: Sequence[Record]) -> None:
        """One batch, completely: when this returns, its last offset may be committed.

        Raises:
            StoreUnavailable: nothing was acknowledged; the same batch can be tried again.
            DeliveryFailed: nor was it; but only by another process, since the producer is of no further use.
            StoreRolledBack: read again from the store's progress.
            ProgressMismatch: the topic is not the one that progress was made on.
        """
        batch, origins = self._decode(records)
        if self._shared.router and self._refused.first_attempt("route", records[0].offset):
            self._shared.router.route(batch, records, self._read_from.partition, self.ledger.routed())
        sources = self._write(batch, records, origins)
        self._shared.producer.flush()
        self.ledger.advance(records[-1].offset, sources)
        self.publications.take_over()
        self._refused.batch_done()
        self._count(records)

    def _write(
        self, batch: EventBatch, records: Sequence[Record], origins: Origins
    ) -> dict[str, dict[int, SourceProgress]]:
        """Folds the batch into every view that does not contain it yet.

        Returns:
            By view, its source partitions afterwards.
        """
        offsets = np.array([record.offset for record in records], dtype=np.int64)
        after: dict[str, dict[int, SourceProgress]] = {}
        for progress, members in self._by_progress():
            if progress.offset >= offsets[-1]:
                continue
            sources = dict(progress.sources)
            new, watermark = self._drop_duplicates(
                batch.select(offsets[batch.index] > progress.offset), origins, sources
            )
            for writer, transform in members:
                kept = self._transform(transform, new, records)
                kept = self._drop_late(writer, kept, records, origins, watermark)
                if len(kept):
                    published = self.publications.published(writer.view)
                    writer.write(kept, offsets[kept.index], self._read_from._replace(published=published))
                after[writer.view.name] = sources
        return after

    def _by_progress(self) -> list[tuple[Progress, list[tuple[ViewWriter, Transform]]]]:
        """The views, those that have come equally far together; a view that was added later has its own past."""
        groups: list[tuple[Progress, list[tuple[ViewWriter, Transform]]]] = []
        for member in zip(self._shared.writers, self._shared.transforms, strict=True):
            progress = self.ledger.of(member[0].view)
            same = next((members for known, members in groups if known == progress), None)
            if same is None:
                groups.append((progress, [member]))
            else:
                same.append(member)
        return groups

    def _decode(self, records: Sequence[Record]) -> tuple[EventBatch, Origins]:
        decoded = self._shared.decode([record.value for record in records])
        batch, invalid = self._shared.validate(decoded.events, self._recorded_ms(records))
        errors: dict[int, RecordError] = {**decoded.errors, **invalid}
        origins = self._origins(records, errors)
        if errors:
            batch = batch.select(~np.isin(batch.index, list(errors)))
        present = origins.partitions[batch.index] >= 0
        if not present.all():
            metrics.DUPLICATES.labels(self._feed.topic).inc(int(len(present) - present.sum()))
            batch = batch.select(present)
        for index, error in sorted(errors.items()):
            self._refused.dead_letter(records[index], error)
        return batch, origins

    def _recorded_ms(self, records: Sequence[Record]) -> Ints | None:
        """When the records were written; None where they were judged already, on the topic they were routed from."""
        if self._feed.routed:
            return None
        return recorded_ms([record.timestamp_ms for record in records], time.time_ns() // 1_000_000)

    def _origins(self, records: Sequence[Record], errors: dict[int, RecordError]) -> Origins:
        if not self._feed.routed:
            partitions = np.full(len(records), self._read_from.partition, dtype=np.int64)
            return Origins(partitions, np.array([record.offset for record in records], dtype=np.int64))
        positions = []
        for index, record in enumerate(records):
            try:
                partition, offset, life = source_position(record)
                # What was routed in a former life of either topic: its source position says nothing in this one.
                positions.append((partition, offset) if life == self._read_from.lineage.digest else _NOWHERE)
            except DecodeError as error:
                errors[index] = error
                positions.append(_NOWHERE)
        both = np.array(positions, dtype=np.int64).reshape(-1, 2)
        return Origins(both[:, 0], both[:, 1])

    def _drop_duplicates(
        self, batch: EventBatch, origins: Origins, sources: dict[int, SourceProgress]
    ) -> tuple[EventBatch, Ints]:
        """Drops routed duplicates, and brings `sources` forward.

        Returns:
            The batch, and per record of the batch read (not per event) the watermark it is judged by.
        """
        partitions, offsets = origins.partitions[batch.index], origins.offsets[batch.index]
        fresh = np.ones(len(batch), dtype=bool)
        watermark = np.zeros(len(origins.partitions), dtype=np.int64)
        for source in np.unique(partitions).tolist():
            here = np.flatnonzero(partitions == source)
            before = sources.get(source, SourceProgress())
            highest = watermarks(offsets[here], before.offset)
            fresh[here] = offsets[here] > highest[:-1]
            here = here[fresh[here]]
            marks = watermarks(batch.event_ms[here], before.watermark_ms)
            watermark[batch.index[here]] = marks[:-1]
            sources[source] = SourceProgress(int(highest[-1]), int(marks[-1]))
        if not fresh.all():
            metrics.DUPLICATES.labels(self._feed.topic).inc(int(len(fresh) - fresh.sum()))
        return batch.select(fresh), watermark

    def _transform(self, transform: Transform, batch: EventBatch, records: Sequence[Record]) -> EventBatch:
        if not len(batch):
            return batch
        kept, errors = transform_each(transform, batch)
        for index, error in sorted(errors.items()):
            self._refused.dead_letter(records[index], error)
        return kept

    def _drop_late(
        self,
        writer: ViewWriter,
        batch: EventBatch,
        records: Sequence[Record],
        origins: Origins,
        watermark: Ints,
    ) -> EventBatch:
        view = writer.view
        late = too_late(batch.event_ms, watermark[batch.index], self._feed.source.allowed_lateness_of(view))
        if not late.any():
            return batch
        for index, event_ms in zip(batch.index[late].tolist(), batch.event_ms[late].tolist(), strict=True):
            position = Position(self._feed.source.topic, int(origins.partitions[index]), int(origins.offsets[index]))
            headers = late_headers([view.name], event_ms, int(watermark[index]), position)
            self._refused.late(records[index], view, headers)
        return batch.select(~late)

    def _count(self, records: Sequence[Record]) -> None:
        topic = self._feed.topic
        metrics.RECORDS.labels(topic).inc(len(records))
        metrics.BATCHES.labels(topic).inc()
        metrics.FRESHNESS_SECONDS.labels(topic).observe(max(0.0, time.time() - records[0].timestamp_ms / 1_000))
        newest_ms = max(0, self.ledger.watermark_ms())
        metrics.WATERMARK_SECONDS.labels(topic, self._read_from.partition).set(newest_ms / 1_000)
