"""Aggregate: stored rows and a batch of events in, new rows and feature values out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.contract.fence import Header
from pipelines.contract.plan import StreamView
from pipelines.steps.arrays import Column, Ints
from pipelines.steps.rows import RowCodec, StoredRow
from pipelines.steps.tiles import Events, Tiles, fold, retain
from pipelines.steps.windows import WindowEvaluator


class Aggregated(NamedTuple):
    """The result for the entities that changed."""

    entities: Ints
    """Shape (m,): indices into the batch's entities."""
    rows: list[StoredRow]
    last_event_ms: Ints
    """Shape (m,): event time of each entity's newest event."""
    values: list[Column]
    """Per feature, shape (m,): values as of `last_event_ms`."""
    stored_offsets: list[int]
    """The fence of the row each was folded onto; -1 where there was none."""


class ViewAggregator:
    """Folds events into the rows of one stream view. Pure: no I/O, no clock."""

    def __init__(self, view: StreamView) -> None:
        self.evaluate = WindowEvaluator(view)
        self.codec = RowCodec(self.evaluate.groups, view.fingerprint)

    def __call__(
        self,
        stored: Sequence[StoredRow],
        events: Events,
        offsets: Ints,
        lineage: bytes,
        partition: int,
    ) -> Aggregated:
        """Folds the events that the stored rows do not contain yet.

        Args:
            stored: the rows of the batch's entities, by entity index.
            events: n events in arrival order.
            offsets: shape (n,), their offsets in `partition`.
            lineage: digest of the topic's life.
            partition: the partition all events were read from.

        A record at or below its entity's fence is already in the state and is skipped. Fences of another
        partition, or another life of the topic, do not compare: nothing is skipped, and the store refuses
        the write as foreign.
        """
        headers = [self.codec.header(row) for row in stored]
        fences = np.array(
            [header.offset if header and header[2:4] == (lineage, partition) else -1 for header in headers],
            dtype=np.int64,
        )
        fresh = offsets > fences[events.entity]
        return self._fold(stored, headers, events.take(fresh), offsets[fresh], lineage, partition)

    def _fold(
        self,
        stored: Sequence[StoredRow],
        headers: Sequence[Header | None],
        events: Events,
        offsets: Ints,
        lineage: bytes,
        partition: int,
    ) -> Aggregated:
        changed, local = np.unique(events.entity, return_inverse=True)
        never = np.iinfo(np.int64).min
        present = [headers[entity] for entity in changed.tolist()]
        last_ms = np.array([header.last_event_ms if header else never for header in present], dtype=np.int64)
        np.maximum.at(last_ms, local, events.event_ms)
        fence = np.zeros(len(changed), dtype=np.int64)
        np.maximum.at(fence, local, offsets)
        events = events._replace(entity=local)
        tiles: list[Tiles] = [
            retain(group, fold(group, old, events), last_ms)
            for group, old in zip(
                self.evaluate.groups,
                self.codec.unpack([stored[entity] for entity in changed.tolist()], present),
                strict=True,
            )
        ]
        new_headers = [
            self.codec.new_header(lineage, partition, offset, last)
            for offset, last in zip(fence.tolist(), last_ms.tolist(), strict=True)
        ]
        rows = self.codec.pack(tiles, new_headers)
        stored_offsets = [header.offset if header else -1 for header in present]
        return Aggregated(changed, rows, last_ms, self.evaluate(tiles, last_ms), stored_offsets)
