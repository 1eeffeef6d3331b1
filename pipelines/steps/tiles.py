"""Tiles: what a view keeps of its events, and how events are folded into it.

Tile k of slide S holds the events with event time in [kS, (k+1)S). A tile keeps intermediate
results only (sums, extremes, first and last), so late events repair it and merging tiles is exact.

Every fold is sequential in arrival order for each tile (`ufunc.at` adds one event after another),
so a state is a function of its records alone: how they were cut into batches can't change a bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.steps.accumulators import INITIAL, Accumulator, Kind, TileGroup
from pipelines.steps.arrays import Chosen, EventIds, Floats, Ints, Payloads, Texts
from pipelines.steps.decay import decayed
from pipelines.steps.payloads import add_to_payloads


class Tiles(NamedTuple):
    """Tiles of one group for many entities, sorted by (entity, tile)."""

    entity: Ints
    """Shape (r,): index of the entity within the batch."""
    tile: Ints
    """Shape (r,)."""
    values: Floats
    """Shape (r, accumulators)."""
    sketches: Payloads
    """Shape (r, sketches), see `pipelines.steps.payloads`."""

    def take(self, chosen: Chosen) -> Tiles:
        """Some of the tiles, by mask or by index."""
        return Tiles(self.entity[chosen], self.tile[chosen], self.values[chosen], self.sketches[chosen])


class Events(NamedTuple):
    """Events of one view, as columns, in arrival order."""

    entity: Ints
    """Shape (n,): index of the entity within the batch."""
    event_ms: Ints
    """Shape (n,): event time, ms since the epoch."""
    columns: Mapping[str, Floats]
    """Each of shape (n,); NaN where the event has no value."""
    texts: Mapping[str, Texts] = MappingProxyType({})
    """Each of shape (n,); None where the event has no value."""
    ids: EventIds | None = None
    """Where the source names its events: needed to find duplicates, not to fold."""

    @classmethod
    def joined(cls, parts: Sequence[Events]) -> Events:
        """All events of some batches of the same view, one after the other."""
        first = parts[0]
        if len(parts) == 1:
            return first
        ids = None if first.ids is None else EventIds.joined([part.ids for part in parts if part.ids is not None])
        return cls(
            np.concatenate([part.entity for part in parts]),
            np.concatenate([part.event_ms for part in parts]),
            {name: np.concatenate([part.columns[name] for part in parts]) for name in first.columns},
            {name: np.concatenate([part.texts[name] for part in parts]) for name in first.texts},
            ids,
        )

    def take(self, chosen: Chosen) -> Events:
        """Some of the events, by mask or by index."""
        columns = {name: column[chosen] for name, column in self.columns.items()}
        texts = {name: column[chosen] for name, column in self.texts.items()}
        ids = None if self.ids is None else self.ids.take(chosen)
        return Events(self.entity[chosen], self.event_ms[chosen], columns, texts, ids)


def no_tiles(group: TileGroup) -> Tiles:
    """No tile at all."""
    none = np.empty(0, np.int64)
    return Tiles(none, none, np.empty((0, len(group.accumulators))), no_payloads(group, 0))


def no_payloads(group: TileGroup, rows: int) -> Payloads:
    """Of tiles without an event; shape (rows, sketches)."""
    return np.full((rows, len(group.sketches)), b"", dtype=object)


def fold(group: TileGroup, tiles: Tiles, events: Events) -> Tiles:
    """The tiles after the events, none dropped yet (see `retain`)."""
    event_tile = events.event_ms // group.slide_ms
    lowest = min(event_tile.min(initial=0), tiles.tile.min(initial=0))
    span = max(event_tile.max(initial=0), tiles.tile.max(initial=0)) - lowest + 1
    old_keys = tiles.entity * span + (tiles.tile - lowest)
    event_keys = events.entity * span + (event_tile - lowest)
    keys = np.union1d(old_keys, event_keys)
    values = np.empty((len(keys), len(group.accumulators)))
    values[:] = [INITIAL[accumulator.kind] for accumulator in group.accumulators]
    values[np.searchsorted(keys, old_keys)] = tiles.values
    payloads = no_payloads(group, len(keys))
    payloads[np.searchsorted(keys, old_keys)] = tiles.sketches
    accumulate(group, values, payloads, np.searchsorted(keys, event_keys), events)
    return Tiles(keys // span, keys % span + lowest, values, payloads)


NO_TILE = int(np.iinfo(np.int64).min)
"""Before every tile: nothing has been dropped."""


def retain(group: TileGroup, tiles: Tiles, oldest_ms: Ints, whole_from: Ints) -> tuple[Tiles, Ints]:
    """Drops the tiles that no window needs as of some time or later.

    Args:
        oldest_ms: shape (entities,), the earliest time as of which every window must be whole.
        whole_from: shape (entities,), the first tile such that none from it on had been dropped before.

    Returns:
        The tiles that are left, and `whole_from` afterwards.
    """
    kept = tiles.tile >= group.oldest_needed(oldest_ms)[tiles.entity]
    if kept.all():
        return tiles, whole_from
    whole_from = whole_from.copy()
    np.maximum.at(whole_from, tiles.entity[~kept], tiles.tile[~kept] + 1)
    return tiles.take(kept), whole_from


def accumulate(
    group: TileGroup, values: Floats, payloads: Payloads, rows: npt.NDArray[np.intp], events: Events
) -> None:
    """Adds event i to `values[rows[i]]` and `payloads[rows[i]]`, in place and one after another.

    Args:
        values: shape (r, accumulators).
        payloads: shape (r, sketches).
        rows: shape (n,), the tile row of each event.
    """
    present = {column: ~np.isnan(values_of) for column, values_of in events.columns.items()}
    for at, (column, kind, half_life_ms, _) in enumerate(group.accumulators):
        if column == "":
            np.add.at(values[:, at], rows, 1.0)
            continue
        has_value = present[column]
        where, added = rows[has_value], events.columns[column][has_value]
        if kind is Kind.COUNT:
            np.add.at(values[:, at], where, 1.0)
        elif kind is Kind.SUM:
            np.add.at(values[:, at], where, added)
        elif kind is Kind.SUM_OF_SQUARES:
            np.add.at(values[:, at], where, added * added)
        elif kind is Kind.MIN:
            np.minimum.at(values[:, at], where, added)
        elif kind is Kind.MAX:
            np.maximum.at(values[:, at], where, added)
        elif kind is Kind.DECAYED_SUM:
            since_start = events.event_ms[has_value] % group.slide_ms
            np.add.at(values[:, at], where, added * decayed(since_start / -half_life_ms))
        elif kind is Kind.FIRST:
            _keep_first(
                values,
                at,
                group.column(Accumulator(column, Kind.FIRST_MS)),
                where,
                added,
                events.event_ms[has_value],
            )
        elif kind is Kind.LAST:
            _keep_last(
                values,
                at,
                group.column(Accumulator(column, Kind.LAST_MS)),
                where,
                added,
                events.event_ms[has_value],
            )
    # Times come last: `_keep_first` and `_keep_last` compare with the times before these events.
    for at, (column, kind, *_) in enumerate(group.accumulators):
        if kind is Kind.FIRST_MS:
            np.minimum.at(values[:, at], rows[present[column]], events.event_ms[present[column]])
        elif kind is Kind.LAST_MS:
            np.maximum.at(values[:, at], rows[present[column]], events.event_ms[present[column]])
    for at, (sketch, kept) in enumerate(zip(group.sketches, group.kept, strict=True)):
        values_of = events.texts[sketch.column] if sketch.text else events.columns[sketch.column]
        has_value = _has_text(values_of) if sketch.text else present[sketch.column]
        where, added = rows[has_value], values_of[has_value]
        add_to_payloads(sketch, kept, payloads[:, at], where, added, events.event_ms[has_value])


def _has_text(texts: Texts) -> npt.NDArray[np.bool_]:
    return np.array([text is not None for text in texts], dtype=bool)


def _keep_first(values: Floats, at: int, at_ms: int, rows: npt.NDArray[np.intp], added: Floats, event_ms: Ints) -> None:
    """Earliest event time wins; of equal times, the record that arrived first."""
    order = np.lexsort((event_ms, rows))
    leading = np.ones(len(order), dtype=bool)
    leading[1:] = rows[order][1:] != rows[order][:-1]
    chosen = order[leading]
    wins = event_ms[chosen] < values[rows[chosen], at_ms]
    values[rows[chosen][wins], at] = added[chosen][wins]


def _keep_last(values: Floats, at: int, at_ms: int, rows: npt.NDArray[np.intp], added: Floats, event_ms: Ints) -> None:
    """Latest event time wins; of equal times, the record that arrived last."""
    order = np.lexsort((event_ms, rows))
    trailing = np.ones(len(order), dtype=bool)
    trailing[:-1] = rows[order][1:] != rows[order][:-1]
    chosen = order[trailing]
    wins = event_ms[chosen] >= values[rows[chosen], at_ms]
    values[rows[chosen][wins], at] = added[chosen][wins]
