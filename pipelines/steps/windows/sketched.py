"""Sketched: features whose tiles keep bytes of any length, merged feature by feature and entity by entity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from forebay.pipelines.contract.plan.types import DataType, Function
from forebay.pipelines.contract.plan.views import Aggregation
from forebay.pipelines.contract.store.values import whole_numbers
from forebay.pipelines.steps.arrays import Column, objects
from forebay.pipelines.steps.tile_state.frequent import ranked
from forebay.pipelines.steps.tile_state.oldest_newest import newest, oldest
from forebay.pipelines.steps.tile_state.sketches import Quantiles, distinct
from forebay.pipelines.steps.windows.flat import FlatTiles
from forebay.pipelines.steps.windows.inside import Inside
from forebay.pipelines.steps.windows.layout import Accumulator, TileGroup

MergeSketch = Callable[[Sequence[bytes], Accumulator], Any]
"""Merges what some tiles of one entity keep for a sketch, in ascending order of the tiles."""


class Sketched(NamedTuple):
    """One feature."""

    aggregation: Aggregation
    element: DataType
    sketch: Accumulator
    window: int


class SketchResults:
    """Merges the sketches of a view, and takes its features out of them."""

    def __init__(self, wanted: Mapping[int, Sketched], group: TileGroup) -> None:
        """Args:
        wanted: by the feature's place.
        group: the first of the view, which has every sketch.
        """
        self._wanted = wanted
        self._group = group

    def __call__(self, tiles: FlatTiles, inside: Inside, count: int) -> dict[int, Column]:
        """Computes, by the feature's place, its values of n entities, shape (n,).

        Args:
            count: n.
        """
        merge = _Merge(self._group, tiles, inside, count)
        return {at: _result(each, merge) for at, each in self._wanted.items()}


class _Merge:
    """The sketches of windows, merged once however many features take them."""

    def __init__(self, group: TileGroup, tiles: FlatTiles, inside: Inside, count: int) -> None:
        self._group = group
        self._sketches = tiles.sketches
        self._inside = inside
        self._count = count
        self._known: dict[tuple[Any, Accumulator, int], list[Any]] = {}

    def __call__(self, merge: MergeSketch, sketch: Accumulator, window: int) -> list[Any]:
        """Merges, per entity, the sketches of a window."""
        if (merge, sketch, window) not in self._known:
            self._known[merge, sketch, window] = [merge(each, sketch) for each in self.payloads(sketch, window)]
        return self._known[merge, sketch, window]

    def payloads(self, sketch: Accumulator, window: int) -> list[list[bytes]]:
        """Gathers, per entity, what the tiles of a window keep for one sketch, in ascending order of the tiles."""
        first = window * self._count
        bounds = np.searchsorted(self._inside.slot, np.arange(first, first + self._count + 1)).tolist()
        column = self._sketches[:, self._group.sketches.index(sketch)]
        kept = column[self._inside.row[bounds[0] : bounds[-1]]].tolist()
        return [kept[start - bounds[0] : end - bounds[0]] for start, end in pairwise(bounds)]


def _result(wanted: Sketched, merge: _Merge) -> Column:
    aggregation, element, sketch, window = wanted
    count = aggregation.parameter
    match aggregation.function:
        case Function.COUNT_DISTINCT:
            return np.array([distinct(payloads) for payloads in merge.payloads(sketch, window)], dtype=np.float64)
        case Function.QUANTILE:
            return np.array([each.value(count) for each in merge(_quantiles, sketch, window)], dtype=np.float64)
        case Function.TOP_K:
            return _lists([ranking[:count] for ranking in merge(ranked, sketch, window)], element)
        case Function.LAST_N:
            return _lists([newest(payloads, sketch, count) for payloads in merge.payloads(sketch, window)], element)
        case Function.FIRST:
            return objects([oldest(payloads, sketch) for payloads in merge.payloads(sketch, window)])
        case _:
            last = (newest(payloads, sketch, 1) for payloads in merge.payloads(sketch, window))
            return objects([values[0] if values else None for values in last])


def _quantiles(payloads: Sequence[bytes], _sketch: Accumulator) -> Quantiles:
    return Quantiles(payloads)


def _lists(lists: list[list[Any]], element: DataType) -> Column:
    """Lists of texts or numbers as a column of lists of the feature's type."""
    if element is DataType.STRING:
        return objects(lists)
    if element in (DataType.FLOAT32, DataType.FLOAT64):
        return objects([list(map(float, values)) for values in lists])
    if element is DataType.UNIX_TIMESTAMP:
        lists = [[value // 1_000 for value in values] for values in lists]
    return objects([whole_numbers(values, element) for values in lists])
