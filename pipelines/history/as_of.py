"""Computes a view's features for any entity as of any time, from history.

Events are folded in event-time order by the very `accumulate` of the stream. Beside every finished
tile, the state of the open tile after each of its events is kept, so a window as of any time is
closed tiles plus one snapshot, evaluated by the very `WindowEvaluator` of the stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.steps.arrays import Column, Floats, Ints, Payloads, joined_columns
from forebay.pipelines.steps.duplicates import IdMemory
from forebay.pipelines.steps.entities import distinct_entities
from forebay.pipelines.steps.events import EventBatch
from forebay.pipelines.steps.windows.columns import AggregatedColumns
from forebay.pipelines.steps.windows.evaluate import WindowEvaluator
from forebay.pipelines.steps.windows.fold import Events, Tiles, accumulate, no_payloads
from forebay.pipelines.steps.windows.layout import TileGroup

CHUNK = 20_000
"""Queries evaluated at once; bounds memory."""


class _GroupHistory(NamedTuple):
    """One tile group, folded over all events."""

    group: TileGroup
    keys: Ints
    """Shape (tiles,), ascending: entity * span + tile - lowest."""
    lowest: int
    span: int
    final: Floats
    """Shape (tiles, accumulators): every tile after its last event."""
    event_tile: Ints
    """Shape (n,): tile of each event."""
    snapshots: Floats
    """Shape (n, accumulators): its tile right after each event."""
    final_sketches: Payloads
    """Shape (tiles, sketches)."""
    sketch_snapshots: Payloads
    """Shape (n, sketches)."""


class AsOf(NamedTuple):
    """Feature values as of some times."""

    values: list[Column]
    """Per feature, shape (q,)."""
    event_ms: Floats
    """Shape (q,): event time of the entity's last event; NaN if it has none yet."""


class ViewHistory:
    """All events of one view, folded so that values as of any time can be computed."""

    def __init__(self, view: StreamView, batch: EventBatch) -> None:
        """Args:
        batch: the view's events, transformed, ordered by event time.
        """
        self.view = view
        self._evaluate = WindowEvaluator(view)
        found = distinct_entities([batch.values(key.name) for key in view.join_keys])
        self._codes = {values: code for code, values in enumerate(found.values)}
        self.entities = found.values
        order = np.lexsort((batch.event_ms, found.codes))
        order = order[found.codes[order] >= 0]
        events = Events(found.codes, batch.event_ms, *AggregatedColumns(view)(batch))
        if view.event_id is not None:
            events = events._replace(ids=batch.ids(view.event_id.column))
        events = events.take(order)
        if view.event_id is not None:
            events = events.take(IdMemory(view.event_id.window_ms).first_ones(events, len(found.values)))
        self.events = events
        """Sorted by (entity, event time), every event once."""
        self._groups = [_fold(group, self.events) for group in self._evaluate.groups]

    def codes(self, entities: Sequence[tuple[Any, ...]]) -> Ints:
        """Returns the code of each entity (join key values), -1 for one without events; shape (q,)."""
        return np.array([self._codes.get(values, -1) for values in entities], dtype=np.int64)

    def as_of(self, codes: Ints, as_of_ms: Ints, ttl_ms: int = 0) -> AsOf:
        """Computes feature values as of each time; events in the same millisecond are included.

        Args:
            codes: shape (q,), from `codes`.
            as_of_ms: shape (q,).
            ttl_ms: entities whose last event is older are read as if they had none; 0: never.
        """
        last = self._last_event(codes, as_of_ms)
        event_ms = (
            np.where(last >= 0, self.events.event_ms[last], np.nan)
            if len(self.events.event_ms)
            else np.full(len(codes), np.nan)
        )
        live = ~np.isnan(event_ms)
        if ttl_ms:
            live &= ~(as_of_ms - event_ms > ttl_ms)
        parts = []
        for chunk in _chunks(len(codes)):
            tiles = [
                _gather(history, codes[chunk], as_of_ms[chunk], last[chunk], live[chunk]) for history in self._groups
            ]
            parts.append(self._evaluate(tiles, as_of_ms[chunk]).columns)
        return AsOf([joined_columns(columns) for columns in zip(*parts, strict=True)], event_ms)

    def _last_event(self, codes: Ints, as_of_ms: Ints) -> Ints:
        """Returns the index of the entity's last event at or before the time, -1 if there is none; shape (q,)."""
        events = self.events
        if not len(events.entity):
            return np.full(len(codes), -1, dtype=np.int64)
        before, newest = events.event_ms.min() - 1, events.event_ms.max()
        span = newest - before + 1
        keys = events.entity * span + events.event_ms - before
        at = np.searchsorted(keys, codes * span + np.clip(as_of_ms, before, newest) - before, "right") - 1
        return np.where((at >= 0) & (codes >= 0) & (events.entity[at] == codes), at, -1)


def _chunks(count: int) -> Iterator[slice]:
    """Yields chunks, at least one, which may be empty."""
    return (slice(start, min(start + CHUNK, count)) for start in range(0, max(count, 1), CHUNK))


def _fold(group: TileGroup, events: Events) -> _GroupHistory:
    tile = events.event_ms // group.slide_ms
    lowest = int(tile.min(initial=0))
    span = int(tile.max(initial=0)) - lowest + 1
    keys, first, row = np.unique(events.entity * span + tile - lowest, return_index=True, return_inverse=True)
    final = group.initial(len(keys))
    snapshots = np.empty((len(row), len(group.accumulators)))
    final_sketches, sketch_snapshots = no_payloads(group, len(keys)), no_payloads(group, len(row))
    for members in _by_rank(np.arange(len(row)) - first[row]):
        accumulate(group, final, final_sketches, row[members], events.take(members))
        snapshots[members] = final[row[members]]
        sketch_snapshots[members] = final_sketches[row[members]]
    return _GroupHistory(group, keys, lowest, span, final, tile, snapshots, final_sketches, sketch_snapshots)


def _by_rank(rank: Ints) -> Iterator[npt.NDArray[np.intp]]:
    """Yields the indices of the first events of all tiles, then of the second ones, and so on."""
    order = np.argsort(rank, kind="stable")
    bounds = np.flatnonzero(np.diff(rank[order])) + 1
    return (members for members in np.split(order, bounds) if len(members))


def _gather(history: _GroupHistory, codes: Ints, as_of_ms: Ints, last: Ints, live: npt.NDArray[np.bool_]) -> Tiles:
    """Returns the tiles that a window as of each query can hold; the entity of a tile is the index of its query."""
    newest = as_of_ms // history.group.slide_ms
    oldest = np.clip(history.group.oldest_needed(as_of_ms) - history.lowest, 0, history.span)
    until = np.clip(newest - history.lowest, 0, history.span)
    start = np.searchsorted(history.keys, codes * history.span + oldest)
    end = np.searchsorted(history.keys, codes * history.span + until)
    closed = np.where(live, end - start, 0)
    is_open = live & (last >= 0)
    is_open[is_open] = history.event_tile[last[is_open]] == newest[is_open]
    query = np.arange(len(codes))
    which = np.repeat(query, closed)
    at = np.arange(len(which)) - np.repeat(np.cumsum(closed) - closed, closed) + np.repeat(start, closed)
    entity = np.concatenate((which, query[is_open]))
    tile = np.concatenate((history.keys[at] % history.span + history.lowest, newest[is_open]))
    values = np.concatenate((history.final[at], history.snapshots[last[is_open]]))
    sketches = np.concatenate((history.final_sketches[at], history.sketch_snapshots[last[is_open]]))
    order = np.lexsort((tile, entity))
    return Tiles(entity, tile, values, sketches).take(order)
