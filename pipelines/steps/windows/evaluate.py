"""Evaluate: feature values from tiles, as of a time that is passed in.

One pass for all windows, functions and columns of a view: the number of calls does not grow with its features. Only
sketches, which are bytes of any length, are merged feature by feature.

1. `flat`: tiles of all slides side by side
2. `inside`: which of them are in which window
3. `merge`: their accumulators into those of windows
4. `results`: features from those
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.steps.arrays import Column, Floats, Ints, joined_columns
from forebay.pipelines.steps.windows.flat import FlatTiles, flat_tiles
from forebay.pipelines.steps.windows.fold import Tiles
from forebay.pipelines.steps.windows.inside import TilesInside, Window
from forebay.pipelines.steps.windows.layout import SKETCHED, accumulators_of, tile_groups
from forebay.pipelines.steps.windows.merge import Merge
from forebay.pipelines.steps.windows.results import Results, Wanted
from forebay.pipelines.steps.windows.sketched import Sketched, SketchResults
from forebay.pipelines.steps.windows.slots import Slots
from forebay.pipelines.steps.windows.whole_from import WholeFrom

_AT_ONCE = 256
"""Entities evaluated at once: what belongs to them fits the processor's caches."""


class FeatureValues(NamedTuple):
    """Values of f features of n entities."""

    numbers: Floats
    """Shape (f, n), NaN for null; NaN too where a feature is among `objects`."""
    objects: dict[int, Column]
    """By the feature's place, columns that are no float64: texts, lists, and large whole numbers."""

    @property
    def columns(self) -> list[Column]:
        """One column of shape (n,) per feature."""
        columns: list[Column] = list(self.numbers)
        for at, column in self.objects.items():
            columns[at] = column
        return columns


class WindowEvaluator:
    """Evaluates all aggregations of a view for many entities at once."""

    def __init__(self, view: StreamView) -> None:
        self.groups = tile_groups(view)
        group_of = {group.slide_ms: at for at, group in enumerate(self.groups)}
        window_of = [Window(group_of[each.slide_ms], each.slide_ms, each.tiles) for each in view.aggregations]
        windows = list(dict.fromkeys(window_of))
        self.whole_from_ms = WholeFrom(windows, [windows.index(each) for each in window_of], self.groups[0].slide_ms)
        self._windows = len(windows)
        self._inside = TilesInside(windows, len(self.groups))
        self._merge = Merge(self.groups)
        numbers: dict[int, Wanted] = {}
        sketched: dict[int, Sketched] = {}
        for at, (each, feature) in enumerate(zip(view.aggregations, view.features, strict=True)):
            (first, *_), window, element = accumulators_of(each), windows.index(window_of[at]), feature.dtype.element
            if first.kind in SKETCHED:
                sketched[at] = Sketched(each, element, first, window)
            else:
                numbers[at] = Wanted(each, element, window)
        self._features = len(view.aggregations)
        self._places = list(numbers)
        self._results = Results(list(numbers.values()), self._merge, len(windows))
        self._sketches = SketchResults(sketched, self.groups[0])

    def __call__(self, tiles: Sequence[Tiles], as_of_ms: Ints) -> FeatureValues:
        """Computes the feature values of n entities.

        Args:
            tiles: per group, the tiles of n entities, sorted by (entity, tile).
            as_of_ms: shape (n,), the time to evaluate each entity at.
        """
        return self.flat(flat_tiles(self.groups, tiles), as_of_ms)

    def flat(self, tiles: FlatTiles, as_of_ms: Ints) -> FeatureValues:
        """Computes the feature values of n entities from flat tiles."""
        if len(as_of_ms) <= _AT_ONCE:
            return self._evaluate(tiles, as_of_ms)
        parts = [self._evaluate(*part) for part in _parts(tiles, as_of_ms)]
        objects = {at for part in parts for at in part.objects}
        return FeatureValues(
            np.concatenate([part.numbers for part in parts], axis=1),
            {at: joined_columns([part.objects.get(at, part.numbers[at]) for part in parts]) for at in objects},
        )

    def _evaluate(self, tiles: FlatTiles, as_of_ms: Ints) -> FeatureValues:
        inside = self._inside(tiles, as_of_ms)
        slots = Slots(inside.slot, self._windows * len(as_of_ms))
        numbers, large = self._results(self._merge(tiles, inside, as_of_ms, slots), as_of_ms)
        objects = {self._places[at]: column for at, column in large.items()}
        if len(self._places) == self._features:
            return FeatureValues(numbers, objects)
        every = np.full((self._features, len(as_of_ms)), np.nan)
        every[self._places] = numbers
        for at, column in self._sketches(tiles, inside, len(as_of_ms)).items():
            if column.dtype == object:
                objects[at] = column
            else:
                every[at] = column
        return FeatureValues(every, objects)


def _parts(tiles: FlatTiles, as_of_ms: Ints) -> Iterator[tuple[FlatTiles, Ints]]:
    """Yields the tiles and times of some entities after the others."""
    for start in range(0, len(as_of_ms), _AT_ONCE):
        end = min(start + _AT_ONCE, len(as_of_ms))
        rows = slice(*np.searchsorted(tiles.entity, (start, end)).tolist())
        entity, group, start_ms, at = (each[rows] for each in tiles[:4])
        part = FlatTiles(entity - start, group, start_ms, at, tiles.words, tiles.sketches[rows])
        yield part, as_of_ms[start:end]
