"""Finds where records were first produced: a routed record may come twice, and is late by its source partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forebay.pipelines.adapters import metrics
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.record import Record, source_position
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.contract.store.progress import SourceProgress
from forebay.pipelines.errors import DecodeError, RecordError
from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.events import EventBatch
from forebay.pipelines.steps.lateness import watermarks


class Origins(NamedTuple):
    """Where the records of a batch were first produced."""

    partitions: Ints
    """Shape (n,): source partition per record; -1 where the record does not say, or names a former incarnation."""
    offsets: Ints
    """Shape (n,): source offset per record."""


_NOWHERE = (-1, -1)


class OriginReader:
    """Reads the origins of one partition's records. A topic that is read directly is its own source."""

    def __init__(self, feed: Feed, incarnation: Incarnation, partition: int) -> None:
        self._feed = feed
        self._digest = incarnation.digest
        self._partition = partition

    def of(self, records: Sequence[Record], errors: dict[int, RecordError]) -> Origins:
        """Finds the origin of each record.

        Args:
            errors: by place in the batch; records that do not say are added.
        """
        if not self._feed.routed:
            partitions = np.full(len(records), self._partition, dtype=np.int64)
            return Origins(partitions, np.array([record.offset for record in records], dtype=np.int64))
        positions = []
        for index, record in enumerate(records):
            try:
                partition, offset, incarnation = source_position(record)
                # What was routed in a former incarnation of either topic: its position says nothing in this one.
                positions.append((partition, offset) if incarnation == self._digest else _NOWHERE)
            except DecodeError as error:
                errors[index] = error
                positions.append(_NOWHERE)
        both = np.array(positions, dtype=np.int64).reshape(-1, 2)
        return Origins(both[:, 0], both[:, 1])

    def drop_duplicates(
        self, batch: EventBatch, origins: Origins, sources: dict[int, SourceProgress]
    ) -> tuple[EventBatch, Ints]:
        """Drops routed duplicates, and brings `sources` forward.

        Args:
            sources: by source partition, how far it had come; changed in place.

        Returns:
            The batch, and per record of the batch read (not per event) the watermark it is judged by.
        """
        partitions, offsets = origins.partitions[batch.index], origins.offsets[batch.index]
        fresh = np.ones(len(batch), dtype=bool)
        watermark = np.zeros(len(origins.partitions), dtype=np.int64)
        for source in np.unique(partitions).tolist() if self._feed.routed else [self._partition]:
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
