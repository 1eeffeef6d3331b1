"""Windows: feature values from tiles, as of a time that is passed in.

As of t, a window of length W and slide S holds tiles floor(t/S) - W/S + 1 ... floor(t/S). The last of them, its head,
is still growing as of t, and a row that is ahead of t holds later events of it too. So a head is taken from the
view's shortest tiles, of length R: those up to floor(t/R), and the window holds no event from later than the next
multiple of R. Merging goes tile by tile in ascending order, so an entity's values do not depend on its neighbours in a
batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from forebay.pipelines.contract.plan.types import DataType, Function
from forebay.pipelines.contract.plan.views import Aggregation, StreamView
from forebay.pipelines.contract.store.values import whole_numbers
from forebay.pipelines.steps.arrays import Column, Floats, Ints, Payloads, WholeNumbers, objects
from forebay.pipelines.steps.tile_state.frequent import ranked
from forebay.pipelines.steps.tile_state.oldest_newest import newest, oldest
from forebay.pipelines.steps.tile_state.sketches import Quantiles, distinct
from forebay.pipelines.steps.windows.decay import decayed
from forebay.pipelines.steps.windows.fold import NO_TILE, Tiles
from forebay.pipelines.steps.windows.layout import SKETCHED, Accumulator, Kind, TileGroup, accumulators_of, tile_groups
from forebay.pipelines.steps.windows.moments import variances
from forebay.pipelines.steps.windows.representable import fitting
from forebay.pipelines.steps.windows.sums import WholeTotals, compensated_totals

_BEGINNING_MS = -(2**62)
"""Before every event, and far enough from the smallest integer to be added to."""


class _Wanted(NamedTuple):
    """One feature, and what it is made of."""

    aggregation: Aggregation
    element: DataType
    needed: list[Accumulator]


class WindowEvaluator:
    """Evaluates all aggregations of a view for many entities at once."""

    def __init__(self, view: StreamView) -> None:
        self.groups = tile_groups(view)
        self._wanted = [
            _Wanted(each, feature.dtype.element, accumulators_of(each))
            for each, feature in zip(view.aggregations, view.features, strict=True)
        ]
        self._group_of = {group.slide_ms: at for at, group in enumerate(self.groups)}

    def __call__(self, tiles: Sequence[Tiles], as_of_ms: Ints) -> list[Column]:
        """Feature values, one column of shape (n,) per feature.

        Args:
            tiles: per group, the tiles of n entities, sorted by (entity, tile).
            as_of_ms: shape (n,), the time to evaluate each entity at.
        """
        out = []
        merged: dict[tuple[int, int], _Merge] = {}
        for wanted in self._wanted:
            aggregation = wanted.aggregation
            which = self._group_of[aggregation.slide_ms]
            merge = merged.get((which, aggregation.tiles))
            if merge is None:
                inside = self._inside(which, tiles, as_of_ms, aggregation.tiles)
                merge = merged[which, aggregation.tiles] = _Merge(self.groups[which], inside, as_of_ms)
            out.append(_result(wanted, merge))
        return out

    def _inside(self, which: int, tiles: Sequence[Tiles], as_of_ms: Ints, window_tiles: int) -> _Inside:
        """The tiles of a window: closed ones of its own slide, and its head in tiles of the first group."""
        group, own = self.groups[which], tiles[which]
        newest = as_of_ms[own.entity] // group.slide_ms
        begun = (own.tile > newest - window_tiles) & ((own.tile < newest) if which else (own.tile <= newest))
        own = own.take(begun)
        inside = _Inside(own.entity, own.tile * group.slide_ms, own.values, own.sketches)
        return inside.followed_by(self._head(which, tiles[0], as_of_ms)) if which else inside

    def _head(self, which: int, tiles: Tiles, as_of_ms: Ints) -> _Inside:
        group, first = self.groups[which], self.groups[0]
        at_ms, start_ms = as_of_ms[tiles.entity], tiles.tile * first.slide_ms
        tiles = tiles.take((start_ms <= at_ms) & (start_ms >= at_ms // group.slide_ms * group.slide_ms))
        numbers = [first.column(each) for each in group.accumulators]
        sketches = [first.sketches.index(each) for each in group.sketches]
        return _Inside(tiles.entity, tiles.tile * first.slide_ms, tiles.values[:, numbers], tiles.sketches[:, sketches])

    def whole_from_ms(self, whole_from: Sequence[Ints], removed_before_ms: int) -> list[Ints]:
        """Per feature, the earliest time from which on its window is whole, shape (n,): as of it and any later one.

        Args:
            whole_from: per group, of n rows, the first tile from which on none has been dropped.
            removed_before_ms: rows whose newest event is older may have been removed; `NO_TILE` if none has been.
        """
        known: dict[tuple[int, int], Ints] = {}
        for aggregation in (wanted.aggregation for wanted in self._wanted):
            slide_ms, tiles = aggregation.slide_ms, aggregation.tiles
            if (slide_ms, tiles) not in known:
                which = self._group_of[slide_ms]
                # As of t, all from tile floor(t/S) - W/S + 1 on, and all of the first group from floor(t/S) S/R on.
                first_ms = _times(whole_from[which] + (tiles - 1), slide_ms, whole_from[which])
                if which:
                    head_ms = _times(whole_from[0], self.groups[0].slide_ms, whole_from[0])
                    first_ms = np.maximum(first_ms, -(-head_ms // slide_ms) * slide_ms)
                if removed_before_ms != NO_TILE:
                    removed = -(-(removed_before_ms + (tiles - 1) * slide_ms) // slide_ms) * slide_ms
                    first_ms = np.maximum(first_ms, removed)
                known[slide_ms, tiles] = first_ms
        return [known[each.aggregation.slide_ms, each.aggregation.tiles] for each in self._wanted]


def _times(tile: Ints, slide_ms: int, whole_from: Ints) -> Ints:
    """The start of each tile, ms; the beginning of time where nothing has been dropped."""
    return np.where(whole_from == NO_TILE, _BEGINNING_MS, tile * slide_ms)


class _Inside(NamedTuple):
    """The tiles of one window for many entities, sorted by entity, those of an entity ascending in time."""

    entity: Ints
    start_ms: Ints
    values: Floats
    """Shape (r, accumulators of the window's group)."""
    sketches: Payloads
    """Shape (r, sketches of the window's group)."""

    def followed_by(self, later: _Inside) -> _Inside:
        """These tiles, and after those of each entity its later ones."""
        entity = np.concatenate((self.entity, later.entity))
        order = np.argsort(entity, kind="stable")
        return _Inside(
            entity[order],
            np.concatenate((self.start_ms, later.start_ms))[order],
            np.concatenate((self.values, later.values))[order],
            np.concatenate((self.sketches, later.sketches))[order],
        )


def _result(wanted: _Wanted, merge: _Merge) -> Column:
    aggregation, element, needed = wanted
    if needed[0].kind in SKETCHED:
        return _sketched(aggregation, element, needed[0], merge)
    return fitting(_RESULTS[aggregation.function](merge, needed), element)


def _sketched(aggregation: Aggregation, element: DataType, sketch: Accumulator, merge: _Merge) -> Column:
    count = aggregation.parameter
    match aggregation.function:
        case Function.COUNT_DISTINCT:
            return np.array([distinct(payloads) for payloads in merge.payloads(sketch)], dtype=np.float64)
        case Function.QUANTILE:
            return np.array([each.value(count) for each in merge.quantiles(sketch)], dtype=np.float64)
        case Function.TOP_K:
            return _lists([ranking[:count] for ranking in merge.rankings(sketch)], element)
        case Function.LAST_N:
            return _lists([newest(payloads, sketch, count) for payloads in merge.payloads(sketch)], element)
        case Function.FIRST:
            return objects([oldest(payloads, sketch) for payloads in merge.payloads(sketch)])
        case _:
            last = (newest(payloads, sketch, 1) for payloads in merge.payloads(sketch))
            return objects([values[0] if values else None for values in last])


def _lists(lists: list[list[Any]], element: DataType) -> Column:
    """Lists of texts or numbers as a column of lists of the feature's type."""
    if element is DataType.STRING:
        return objects(lists)
    if element in (DataType.FLOAT32, DataType.FLOAT64):
        return objects([list(map(float, values)) for values in lists])
    if element is DataType.UNIX_TIMESTAMP:
        lists = [[value // 1_000 for value in values] for values in lists]
    return objects([whole_numbers(values, element) for values in lists])


class _Merge:
    """The tiles of one window, merged per entity on demand."""

    def __init__(self, group: TileGroup, inside: _Inside, as_of_ms: Ints) -> None:
        self._group = group
        self._entities = len(as_of_ms)
        self._entity = inside.entity
        self._inside = inside
        self._as_of_ms = as_of_ms
        self._known: dict[Accumulator, Any] = {}
        self._quantiles: dict[Accumulator, list[Quantiles]] = {}
        self._rankings: dict[Accumulator, list[list[Any]]] = {}

    @property
    def as_of_ms(self) -> Ints:
        """Shape (n,)."""
        return self._as_of_ms

    def accumulator(self, accumulator: Accumulator) -> npt.NDArray[Any]:
        """One merged accumulator, shape (n,): float64, or int64 of whole numbers."""
        if accumulator not in self._known:
            self._known[accumulator] = self._merge(accumulator)
        found: npt.NDArray[Any] = self._known[accumulator]
        return found

    def compensated(self, total: Accumulator, error: Accumulator) -> Floats:
        """A sum whose rounding errors are kept, shape (n,)."""
        if total not in self._known:
            totals, errors = self._words(total), self._words(error)
            if total.kind is Kind.DECAYED_SUM:
                weight = decayed((self._as_of_ms[self._entity] - self._inside.start_ms) / total.half_life_ms)
                totals, errors = totals * weight, errors * weight
            self._known[total] = compensated_totals(self._entity, self._entities, totals, errors)
        found: Floats = self._known[total]
        return found

    def whole_totals(self, high: Accumulator, low: Accumulator) -> WholeTotals:
        """A sum of whole numbers."""
        if high not in self._known:
            self._known[high] = WholeTotals(self._entity, self._entities, self._words(high), self._words(low))
        found: WholeTotals = self._known[high]
        return found

    def variances(self, count: Accumulator, centre: Accumulator, *moments: Accumulator) -> Floats:
        """Sample variances, shape (n,)."""
        if centre not in self._known:
            words = [self._words(each) for each in (count, centre, *moments)]
            self._known[centre] = variances(self._entity, self._entities, *words)
        found: Floats = self._known[centre]
        return found

    def _words(self, accumulator: Accumulator) -> Any:
        return self._group.of(self._inside.values, accumulator)

    def payloads(self, accumulator: Accumulator) -> list[list[bytes]]:
        """Per entity, what its tiles keep for one sketch, in ascending order of the tiles."""
        column = self._inside.sketches[:, self._group.sketches.index(accumulator)]
        bounds = np.searchsorted(self._entity, np.arange(1, self._entities))
        return [each.tolist() for each in np.split(column, bounds)[: self._entities]]

    def quantiles(self, accumulator: Accumulator) -> list[Quantiles]:
        """Per entity, its merged digest, which all quantiles of a column share."""
        if accumulator not in self._quantiles:
            self._quantiles[accumulator] = [Quantiles(payloads) for payloads in self.payloads(accumulator)]
        return self._quantiles[accumulator]

    def rankings(self, accumulator: Accumulator) -> list[list[Any]]:
        """Per entity, its values by frequency, which all `top_<k>` of a column share."""
        if accumulator not in self._rankings:
            self._rankings[accumulator] = [ranked(payloads, accumulator) for payloads in self.payloads(accumulator)]
        return self._rankings[accumulator]

    def _merge(self, accumulator: Accumulator) -> Any:
        column, kind = self._words(accumulator), accumulator.kind
        if kind is Kind.COUNT:
            return np.bincount(self._entity, column, self._entities)
        out = np.full(self._entities, accumulator.neutral, column.dtype)
        if kind in (Kind.MIN, Kind.FIRST_MS):
            np.minimum.at(out, self._entity, column)
        elif kind in (Kind.MAX, Kind.LAST_MS):
            np.maximum.at(out, self._entity, column)
        else:
            # Tiles ascend in time, and assignment keeps the last write: backwards for the first value.
            step = 1 if kind is Kind.LAST else -1
            has_value = np.isfinite(self._words(accumulator._replace(kind=_TIMES[kind], whole=False)))
            out[self._entity[has_value][::step]] = column[has_value][::step]
        return out


_TIMES = {Kind.FIRST: Kind.FIRST_MS, Kind.LAST: Kind.LAST_MS}


def _count(merge: _Merge, needed: Sequence[Accumulator]) -> Floats:
    return merge.accumulator(needed[0])


def _sum(merge: _Merge, needed: Sequence[Accumulator]) -> Column:
    if needed[0].whole:
        return WholeNumbers(*merge.whole_totals(*needed).whole()).column()
    return merge.compensated(*needed)


def _mean(merge: _Merge, needed: Sequence[Accumulator]) -> Floats:
    *total, counted = needed
    count = merge.accumulator(counted)
    sums = merge.whole_totals(*total).floats() if total[0].whole else merge.compensated(*total)
    mean: Floats = np.divide(sums, count, out=np.full(len(count), np.nan), where=count > 0)
    return mean


def _variance(merge: _Merge, needed: Sequence[Accumulator]) -> Floats:
    return merge.variances(*needed)


def _std(merge: _Merge, needed: Sequence[Accumulator]) -> Floats:
    return np.sqrt(merge.variances(*needed))


def _extreme(merge: _Merge, needed: Sequence[Accumulator]) -> Column:
    extreme = needed[-1]
    if extreme.whole:
        return WholeNumbers(merge.accumulator(extreme), merge.accumulator(needed[0]) > 0).column()
    return merge.accumulator(extreme)


def _value_at(merge: _Merge, needed: Sequence[Accumulator]) -> Column:
    at_ms, value = needed
    if value.whole:
        return WholeNumbers(merge.accumulator(value), np.isfinite(merge.accumulator(at_ms))).column()
    return merge.accumulator(value)


def _seconds_since(merge: _Merge, needed: Sequence[Accumulator]) -> Floats:
    """Seconds; 0 when the row is already ahead of the as-of time."""
    last_ms = merge.accumulator(needed[0])
    return np.where(np.isinf(last_ms), np.nan, np.maximum(merge.as_of_ms - last_ms, 0.0) / 1_000.0)


_RESULTS: dict[Function, Callable[[_Merge, Sequence[Accumulator]], Column]] = {
    Function.COUNT: _count,
    Function.SUM: _sum,
    Function.MEAN: _mean,
    Function.MIN: _extreme,
    Function.MAX: _extreme,
    Function.VAR: _variance,
    Function.STD: _std,
    Function.FIRST: _value_at,
    Function.LAST: _value_at,
    Function.TIME_SINCE_LAST: _seconds_since,
    Function.DECAYED_SUM: _sum,
}
"""Function -> result of the accumulators that it needs, in their order (see `accumulators_of`)."""
