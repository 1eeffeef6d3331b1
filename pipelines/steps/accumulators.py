"""Accumulators: the intermediate results a tile keeps, and which of them each function reads."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.contract.plan import Aggregation, Function, StreamView
from pipelines.steps.arrays import Ints


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
    FREQUENT = "frequent"
    OLDEST = "oldest"
    """The values with the earliest times."""
    NEWEST = "newest"


SKETCHED = frozenset({Kind.DISTINCT, Kind.DIGEST, Kind.FREQUENT, Kind.OLDEST, Kind.NEWEST})
"""Kept as bytes of any length: what the others keep is one number."""

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
    Function.LAST_N: (Kind.NEWEST,),
    Function.TOP_K: (Kind.FREQUENT,),
}
"""The accumulators a function reads, in the order `windows.RESULTS` takes them."""

_NEEDS_OF_TEXTS = {Function.FIRST: (Kind.OLDEST,), Function.LAST: (Kind.NEWEST,)}


class Accumulator(NamedTuple):
    """One column of a tile; `column` is empty for a count of rows."""

    column: str
    kind: Kind
    half_life_ms: int = 0
    """Of a decayed sum."""
    text: bool = False
    """Whether it keeps texts."""


class TileGroup(NamedTuple):
    """All accumulators of a view that share a length of tiles, so that aggregations share tiles."""

    slide_ms: int
    tiles: int
    """Tiles of the longest window of this slide; 0: no window has this slide."""
    heads: tuple[int, ...]
    """Longer slides of the view, ms: the newest part of their windows is evaluated from these tiles. Only the first
    group of a view has some."""
    accumulators: tuple[Accumulator, ...]
    """Those that are one number."""
    sketches: tuple[Accumulator, ...]
    kept: tuple[int, ...]
    """Per sketch, how many values its functions need of the oldest or newest; 0 of the other kinds."""

    def column(self, accumulator: Accumulator) -> int:
        """The column of this accumulator in a tile."""
        return self.accumulators.index(accumulator)

    def oldest_needed(self, as_of_ms: Ints) -> Ints:
        """The first tile that some window needs as of each time; shape as `as_of_ms`."""
        oldest = as_of_ms // self.slide_ms - self.tiles + 1
        for slide_ms in self.heads:
            oldest = np.minimum(oldest, as_of_ms // slide_ms * (slide_ms // self.slide_ms))
        return oldest

    @property
    def tiles_kept(self) -> int:
        """The most tiles that some windows need as of one time."""
        return max(self.tiles, *(slide_ms // self.slide_ms for slide_ms in self.heads), 0)


def tile_groups(view: StreamView) -> tuple[TileGroup, ...]:
    """The tile groups of a view, ordered by length; fixed by the aggregations and the resolution alone.

    The first group has the shortest tiles and every accumulator of the view: windows of longer slides share its tiles
    for their newest part.
    """
    by_slide: dict[int, list[Aggregation]] = {}
    for aggregation in view.aggregations:
        by_slide.setdefault(aggregation.slide_ms, []).append(aggregation)
    own = by_slide.pop(view.head_ms, [])
    first = _group(view.head_ms, own, view.aggregations, tuple(sorted(by_slide)))
    return (first, *(_group(slide_ms, by_slide[slide_ms], by_slide[slide_ms]) for slide_ms in sorted(by_slide)))


def _group(
    slide_ms: int, own: Sequence[Aggregation], read_by: Sequence[Aggregation], heads: tuple[int, ...] = ()
) -> TileGroup:
    """The group of one slide.

    Args:
        own: aggregations of this slide.
        read_by: these and all others that read its tiles.
    """
    kept: dict[Accumulator, int] = {}
    for aggregation in read_by:
        for each in accumulators_of(aggregation):
            kept[each] = max(kept.get(each, 0), _kept(aggregation, each.kind))
    numbers = tuple(each for each in kept if each.kind not in SKETCHED)
    sketches = tuple(each for each in kept if each.kind in SKETCHED)
    tiles = max((each.tiles for each in own), default=0)
    return TileGroup(slide_ms, tiles, heads, numbers, sketches, tuple(kept[each] for each in sketches))


def _kept(aggregation: Aggregation, kind: Kind) -> int:
    if kind not in (Kind.OLDEST, Kind.NEWEST):
        return 0
    return aggregation.parameter if aggregation.function is Function.LAST_N else 1


def accumulators_of(aggregation: Aggregation) -> list[Accumulator]:
    """What an aggregation reads, in the order `windows.RESULTS` takes it."""
    function, text = aggregation.function, aggregation.text
    kinds = _NEEDS_OF_TEXTS.get(function, NEEDS[function]) if text else NEEDS[function]
    half_life_ms = aggregation.parameter if function is Function.DECAYED_SUM else 0
    return [Accumulator(aggregation.column, kind, half_life_ms, text) for kind in kinds]
