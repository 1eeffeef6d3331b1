"""Tiles: what a view keeps of its events, and how events are folded into it.

Tile k of slide S holds the events with event time in [kS, (k+1)S). A tile keeps intermediate
results only (sums, extremes, first and last), so late events repair it and merging tiles is exact.

Every fold is sequential in arrival order for each tile (`ufunc.at` adds one event after another),
so a state is a function of its records alone: how they were cut into batches can't change a bit.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.contract.plan import Aggregation, Function, StreamView

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Kind(enum.StrEnum):
    """What one accumulator of a tile holds."""

    COUNT = "count"
    SUM = "sum"
    SUM_OF_SQUARES = "sum_of_squares"
    MIN = "min"
    MAX = "max"
    FIRST_MS = "first_ms"
    FIRST = "first"
    LAST_MS = "last_ms"
    LAST = "last"


INITIAL: dict[Kind, float] = {
    Kind.COUNT: 0.0,
    Kind.SUM: 0.0,
    Kind.SUM_OF_SQUARES: 0.0,
    Kind.MIN: np.inf,
    Kind.MAX: -np.inf,
    Kind.FIRST_MS: np.inf,
    Kind.FIRST: np.nan,
    Kind.LAST_MS: -np.inf,
    Kind.LAST: np.nan,
}
"""The value of an accumulator before its first event; neutral in every merge."""

NEEDS: dict[Function, tuple[Kind, ...]] = {
    Function.COUNT: (Kind.COUNT,),
    Function.SUM: (Kind.SUM,),
    Function.MEAN: (Kind.SUM, Kind.COUNT),
    Function.MIN: (Kind.MIN,),
    Function.MAX: (Kind.MAX,),
    Function.VAR: (Kind.SUM, Kind.SUM_OF_SQUARES, Kind.COUNT),
    Function.STD: (Kind.SUM, Kind.SUM_OF_SQUARES, Kind.COUNT),
    Function.FIRST: (Kind.FIRST_MS, Kind.FIRST),
    Function.LAST: (Kind.LAST_MS, Kind.LAST),
    Function.TIME_SINCE_LAST: (Kind.LAST_MS,),
}
"""The accumulators a function reads, in the order `windows.RESULTS` takes them."""


class Accumulator(NamedTuple):
    """One column of a tile; `column` is empty for a count of rows."""

    column: str
    kind: Kind


class TileGroup(NamedTuple):
    """All accumulators of a view that share a slide, so that aggregations share tiles."""

    slide_ms: int
    tiles: int
    """Tiles of the longest window of this slide; one more is kept for readers slightly behind."""
    accumulators: tuple[Accumulator, ...]

    def column(self, accumulator: Accumulator) -> int:
        """The column of this accumulator in a tile."""
        return self.accumulators.index(accumulator)


class Tiles(NamedTuple):
    """Tiles of one group for many entities, sorted by (entity, tile)."""

    entity: Ints
    """Shape (r,): index of the entity within the batch."""
    tile: Ints
    """Shape (r,)."""
    values: Floats
    """Shape (r, accumulators)."""


class Events(NamedTuple):
    """Events of one view, as columns, in arrival order."""

    entity: Ints
    """Shape (n,): index of the entity within the batch."""
    event_ms: Ints
    """Shape (n,): event time, ms since the epoch."""
    columns: Mapping[str, Floats]
    """Each of shape (n,); NaN where the event has no value."""


def tile_groups(view: StreamView) -> tuple[TileGroup, ...]:
    """The tile groups of a view, ordered by slide; fixed by the aggregations alone."""
    by_slide: dict[int, list[Aggregation]] = {}
    for aggregation in view.aggregations:
        by_slide.setdefault(aggregation.slide_ms, []).append(aggregation)
    return tuple(_group(slide_ms, by_slide[slide_ms]) for slide_ms in sorted(by_slide))


def _group(slide_ms: int, aggregations: Sequence[Aggregation]) -> TileGroup:
    accumulators: dict[Accumulator, None] = {}
    for aggregation in aggregations:
        for kind in NEEDS[aggregation.function]:
            accumulators[Accumulator(aggregation.column, kind)] = None
    return TileGroup(slide_ms, max(each.tiles for each in aggregations), tuple(accumulators))


def no_tiles(group: TileGroup) -> Tiles:
    """No tile at all."""
    return Tiles(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, len(group.accumulators))))


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
    accumulate(group, values, np.searchsorted(keys, event_keys), events)
    return Tiles(keys // span, keys % span + lowest, values)


def retain(group: TileGroup, tiles: Tiles, last_ms: Ints) -> Tiles:
    """The tiles that a window as of the entity's last event, or one slide before it, can hold.

    Args:
        last_ms: shape (entities,), event time of the newest event of each entity.
    """
    kept = tiles.tile >= last_ms[tiles.entity] // group.slide_ms - group.tiles
    return tiles if kept.all() else Tiles(tiles.entity[kept], tiles.tile[kept], tiles.values[kept])


def accumulate(group: TileGroup, values: Floats, rows: npt.NDArray[np.intp], events: Events) -> None:
    """Adds event i to `values[rows[i]]`, in place and one after another.

    Args:
        values: shape (r, accumulators).
        rows: shape (n,), the tile row of each event.
    """
    present: dict[str, npt.NDArray[np.bool_]] = {}
    for at, (column, kind) in enumerate(group.accumulators):
        if column == "":
            np.add.at(values[:, at], rows, 1.0)
            continue
        if column not in present:
            present[column] = ~np.isnan(events.columns[column])
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
    for at, (column, kind) in enumerate(group.accumulators):
        if kind is Kind.FIRST_MS:
            np.minimum.at(values[:, at], rows[present[column]], events.event_ms[present[column]])
        elif kind is Kind.LAST_MS:
            np.maximum.at(values[:, at], rows[present[column]], events.event_ms[present[column]])


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
