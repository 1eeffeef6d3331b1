"""Tiles: what a view keeps of its events, and how events are folded into it.

Tile k of slide S holds the events with event time in [kS, (k+1)S). A tile keeps intermediate
results only (sums, extremes, first and last), so late events repair it and merging tiles is exact.

Every fold is sequential in arrival order for each tile (`ufunc.at` adds one event after another),
so a state is a function of its records alone: how they were cut into batches can't change a bit.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.contract.plan import Aggregation, Function, StreamView
from pipelines.steps import sketches
from pipelines.steps.arrays import Chosen, EventIds, Floats, Ints, Payloads
from pipelines.steps.decay import decayed


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
    DECAYED_SUM = "decayed_sum"
    """Every value grown to the tile's start: times 2^((event time - start) / half-life)."""
    DISTINCT = "distinct"
    DIGEST = "digest"


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
    Kind.DECAYED_SUM: 0.0,
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
    Function.DECAYED_SUM: (Kind.DECAYED_SUM,),
    Function.COUNT_DISTINCT: (Kind.DISTINCT,),
    Function.QUANTILE: (Kind.DIGEST,),
}
"""The accumulators a function reads, in the order `windows.RESULTS` takes them."""

ABSORB: dict[Kind, Callable[[bytes, Floats], bytes]] = {
    Kind.DISTINCT: sketches.absorb_distinct,
    Kind.DIGEST: sketches.absorb_digest,
}
"""The accumulators that are sketches."""


class Accumulator(NamedTuple):
    """One column of a tile; `column` is empty for a count of rows."""

    column: str
    kind: Kind
    half_life_ms: int = 0
    """Of a decayed sum."""


class TileGroup(NamedTuple):
    """All accumulators of a view that share a slide, so that aggregations share tiles."""

    slide_ms: int
    tiles: int
    """Tiles of the longest window of this slide; one more is kept for readers slightly behind."""
    accumulators: tuple[Accumulator, ...]
    """Those that are one number."""
    sketches: tuple[Accumulator, ...]

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
    sketches: Payloads
    """Shape (r, sketches), see `pipelines.steps.sketches`."""

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
    ids: EventIds | None = None
    """Where the source names its events: needed to find duplicates, not to fold."""

    def take(self, chosen: Chosen) -> Events:
        """Some of the events, by mask or by index."""
        columns = {name: column[chosen] for name, column in self.columns.items()}
        ids = None if self.ids is None else self.ids.take(chosen)
        return Events(self.entity[chosen], self.event_ms[chosen], columns, ids)


def tile_groups(view: StreamView) -> tuple[TileGroup, ...]:
    """The tile groups of a view, ordered by slide; fixed by the aggregations alone."""
    by_slide: dict[int, list[Aggregation]] = {}
    for aggregation in view.aggregations:
        by_slide.setdefault(aggregation.slide_ms, []).append(aggregation)
    return tuple(_group(slide_ms, by_slide[slide_ms]) for slide_ms in sorted(by_slide))


def _group(slide_ms: int, aggregations: Sequence[Aggregation]) -> TileGroup:
    accumulators: dict[Accumulator, None] = {}
    for aggregation in aggregations:
        accumulators.update(dict.fromkeys(accumulators_of(aggregation)))
    numbers = tuple(each for each in accumulators if each.kind not in ABSORB)
    sketched = tuple(each for each in accumulators if each.kind in ABSORB)
    return TileGroup(slide_ms, max(each.tiles for each in aggregations), numbers, sketched)


def accumulators_of(aggregation: Aggregation) -> list[Accumulator]:
    """What an aggregation reads, in the order `windows.RESULTS` takes it."""
    half_life_ms = aggregation.parameter if aggregation.function is Function.DECAYED_SUM else 0
    return [Accumulator(aggregation.column, kind, half_life_ms) for kind in NEEDS[aggregation.function]]


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


def retain(group: TileGroup, tiles: Tiles, last_ms: Ints) -> Tiles:
    """The tiles that a window as of the entity's last event, or one slide before it, can hold.

    Args:
        last_ms: shape (entities,), event time of the newest event of each entity.
    """
    kept = tiles.tile >= last_ms[tiles.entity] // group.slide_ms - group.tiles
    return tiles if kept.all() else tiles.take(kept)


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
    for at, (column, kind, half_life_ms) in enumerate(group.accumulators):
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
    for at, (column, kind, _) in enumerate(group.accumulators):
        if kind is Kind.FIRST_MS:
            np.minimum.at(values[:, at], rows[present[column]], events.event_ms[present[column]])
        elif kind is Kind.LAST_MS:
            np.maximum.at(values[:, at], rows[present[column]], events.event_ms[present[column]])
    for at, sketch in enumerate(group.sketches):
        has_value = present[sketch.column]
        _add_to_sketches(
            payloads[:, at], ABSORB[sketch.kind], rows[has_value], events.columns[sketch.column][has_value]
        )


def _add_to_sketches(
    payloads: Payloads, absorb: Callable[[bytes, Floats], bytes], rows: npt.NDArray[np.intp], values: Floats
) -> None:
    """Adds value i to `payloads[rows[i]]`, tile by tile."""
    order = np.argsort(rows, kind="stable")
    touched, starts = np.unique(rows[order], return_index=True)
    for row, added in zip(touched.tolist(), np.split(values[order], starts[1:]), strict=False):
        payloads[row] = sketches.add(absorb, payloads[row], added)


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
