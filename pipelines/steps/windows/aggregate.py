"""Aggregate: stored rows and a batch of events in, new rows out; and feature values of those that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.row_header import Header
from forebay.pipelines.steps.arrays import Column, Ints, Mask
from forebay.pipelines.steps.duplicates import NEVER_MS, IdMemory
from forebay.pipelines.steps.tile_state.row_codec import RowCodec, StoredRow
from forebay.pipelines.steps.windows.evaluate import WindowEvaluator
from forebay.pipelines.steps.windows.fold import Events, Tiles, fold, retain

_NONE = np.empty(0, dtype=np.int64)


class Aggregated(NamedTuple):
    """The result for the entities that changed."""

    entities: Ints
    """Shape (m,): indices into the batch's entities."""
    rows: list[StoredRow]
    last_event_ms: Ints
    """Shape (m,): event time of each entity's newest event."""
    tiles: list[Tiles]
    """Per group of the view, the tiles of m entities (see `ViewAggregator.values`)."""
    stored_offsets: list[int]
    """The fence of the row each was folded onto; -1 where there was none."""
    contained: Ints
    """Shape (c,): entities whose stored row contained every event of theirs; they are not among `entities`."""
    duplicates: Ints
    """Shape (d,): the entity of every event that was left out as a duplicate; it may not be among `entities`."""


class ViewAggregator:
    """Folds events into the rows of one stream view. Pure: no I/O, no clock."""

    def __init__(self, view: StreamView) -> None:
        self.evaluate = WindowEvaluator(view)
        self._horizon_ms = view.scoring_horizon_ms
        self.codec = RowCodec(self.evaluate.groups, view.fingerprint)
        self._memory = None if view.event_id is None else IdMemory(view.event_id.window_ms)

    def __call__(
        self,
        stored: Sequence[StoredRow],
        events: Events,
        offsets: Ints,
        incarnation: bytes,
        partitions: Ints,
    ) -> Aggregated:
        """Folds the events that the stored rows do not contain yet, duplicates (see `steps.duplicates`) left out.

        Args:
            stored: the rows of the batch's entities, by entity index.
            events: n events in arrival order.
            offsets: shape (n,), their offsets, each in the partition of its entity.
            incarnation: digest of the topic's incarnation.
            partitions: shape (entities,), the partition that each entity's events were read from.

        A record at or below its entity's fence is already in the state and is skipped. Fences of another
        partition, or another incarnation of the topic, do not compare: nothing is skipped, and the store refuses
        the write as foreign.
        """
        headers = [self.codec.header(row) for row in stored]
        fences = np.array(
            [
                header.offset if header and header[2:4] == (incarnation, partition) else -1
                for header, partition in zip(headers, partitions.tolist(), strict=True)
            ],
            dtype=np.int64,
        )
        fresh = offsets > fences[events.entity]
        contained = _NONE if fresh.all() else np.setdiff1d(events.entity, events.entity[fresh])
        events, offsets = events.take(fresh), offsets[fresh]
        if self._memory is None:
            return self._fold(stored, headers, events, offsets, incarnation, partitions)._replace(contained=contained)
        remembered = self._memory.unpack(stored, headers)
        repeated = self._memory.duplicates(remembered, _newest_ms(headers), events)
        counted = events.take(~repeated)
        folded = self._fold(stored, headers, counted, offsets[~repeated], incarnation, partitions)
        ids = self._memory.pack(remembered, counted, folded.entities, folded.last_event_ms)
        rows = [StoredRow(row.head, row.closed, each) for row, each in zip(folded.rows, ids, strict=True)]
        return folded._replace(rows=rows, contained=contained, duplicates=events.entity[repeated])

    def unchanged(self, stored: Sequence[StoredRow]) -> Aggregated:
        """Rows of this definition as they are."""
        headers = [self.codec.header(row) for row in stored]
        present = [header for header in headers if header is not None]
        if len(present) != len(stored):
            raise ValueError("a row of another definition, or none at all")
        last_ms = np.array([header.last_event_ms for header in present], dtype=np.int64)
        tiles = self.codec.unpack(stored, headers)
        offsets = [header.offset for header in present]
        return Aggregated(np.arange(len(stored)), list(stored), last_ms, tiles, offsets, _NONE, _NONE)

    def values(self, result: Aggregated, chosen: Mask) -> list[Column]:
        """Evaluates, per feature, shape (chosen,), the values of some of the m entities, each as of its newest event.

        Args:
            chosen: shape (m,).
        """
        tiles = result.tiles if chosen.all() else [_of_some(each, chosen) for each in result.tiles]
        return self.evaluate(tiles, result.last_event_ms[chosen]).columns

    def _fold(
        self,
        stored: Sequence[StoredRow],
        headers: Sequence[Header | None],
        events: Events,
        offsets: Ints,
        incarnation: bytes,
        partitions: Ints,
    ) -> Aggregated:
        changed, local = np.unique(events.entity, return_inverse=True)
        present = [headers[entity] for entity in changed.tolist()]
        last_ms = _newest_ms(present)
        np.maximum.at(last_ms, local, events.event_ms)
        fence = np.zeros(len(changed), dtype=np.int64)
        np.maximum.at(fence, local, offsets)
        events = events._replace(entity=local)
        old_rows = [stored[entity] for entity in changed.tolist()]
        tiles: list[Tiles] = []
        whole_from: list[Ints] = []
        for group, old, whole in zip(
            self.evaluate.groups,
            self.codec.unpack(old_rows, present),
            self.codec.whole_from(old_rows, present),
            strict=True,
        ):
            kept, whole_now = retain(group, fold(group, old, events), last_ms - self._horizon_ms, whole)
            tiles.append(kept)
            whole_from.append(whole_now)
        new_headers = [
            self.codec.new_header(incarnation, partition, offset, last)
            for partition, offset, last in zip(
                partitions[changed].tolist(), fence.tolist(), last_ms.tolist(), strict=True
            )
        ]
        rows = self.codec.pack(tiles, whole_from, new_headers)
        stored_offsets = [header.offset if header else -1 for header in present]
        return Aggregated(changed, rows, last_ms, tiles, stored_offsets, _NONE, _NONE)


def _of_some(tiles: Tiles, chosen: Mask) -> Tiles:
    """Returns the tiles of some entities, which are counted anew."""
    kept = tiles.take(chosen[tiles.entity])
    return kept._replace(entity=(np.cumsum(chosen) - 1)[kept.entity])


def _newest_ms(headers: Sequence[Header | None]) -> Ints:
    """Finds the time of the newest event that each row contains, shape (len(headers),)."""
    return np.array([header.last_event_ms if header else NEVER_MS for header in headers], dtype=np.int64)
