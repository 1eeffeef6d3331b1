"""Accumulators: the intermediate results a tile keeps, and which of them each function reads."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from forebay.pipelines.contract.plan.types import Function
from forebay.pipelines.contract.plan.views import Aggregation, StreamView
from forebay.pipelines.steps.arrays import Floats, Ints


class Kind(enum.StrEnum):
    """What one accumulator of a tile holds."""

    COUNT = "count"
    SUM = "sum"
    SUM_ERROR = "sum_error"
    """What rounding lost of the sum (see `forebay.pipelines.steps.windows.sums`)."""
    SUM_HIGH = "sum_high"
    SUM_LOW = "sum_low"
    """The two halves of a sum of whole numbers."""
    CENTRE = "centre"
    """The first value that came."""
    SHIFTED_SUM = "shifted_sum"
    SHIFTED_SQUARES = "shifted_squares"
    """Of the differences from the centre, and of their squares (see `forebay.pipelines.steps.windows.moments`)."""
    MIN = "min"
    MAX = "max"
    FIRST_MS = "first_ms"
    FIRST = "first"
    LAST_MS = "last_ms"
    LAST = "last"
    DECAYED_SUM = "decayed_sum"
    """Every value grown to the tile's start: times 2^((event time - start) / half-life)."""
    DECAYED_ERROR = "decayed_error"
    DISTINCT = "distinct"
    DIGEST = "digest"
    FREQUENT = "frequent"
    OLDEST = "oldest"
    """The values with the earliest times."""
    NEWEST = "newest"


SKETCHED = frozenset({Kind.DISTINCT, Kind.DIGEST, Kind.FREQUENT, Kind.OLDEST, Kind.NEWEST})
"""Kept as bytes of any length: what the others keep is one number."""

_LARGEST, _SMALLEST = np.iinfo(np.int64).max, np.iinfo(np.int64).min

_NEUTRAL: dict[Kind, float] = {
    Kind.COUNT: 0.0,
    Kind.SUM: 0.0,
    Kind.SUM_ERROR: 0.0,
    Kind.CENTRE: 0.0,
    Kind.SHIFTED_SUM: 0.0,
    Kind.SHIFTED_SQUARES: 0.0,
    Kind.MIN: np.inf,
    Kind.MAX: -np.inf,
    Kind.FIRST_MS: np.inf,
    Kind.FIRST: np.nan,
    Kind.LAST_MS: -np.inf,
    Kind.LAST: np.nan,
    Kind.DECAYED_SUM: 0.0,
    Kind.DECAYED_ERROR: 0.0,
}
_NEUTRAL_WHOLE: dict[Kind, int] = {Kind.MIN: _LARGEST, Kind.MAX: _SMALLEST}
"""Of whole numbers; of all other kinds 0."""

_NEEDS: dict[Function, tuple[Kind, ...]] = {
    Function.COUNT: (Kind.COUNT,),
    Function.SUM: (Kind.SUM, Kind.SUM_ERROR),
    Function.MEAN: (Kind.SUM, Kind.SUM_ERROR, Kind.COUNT),
    Function.MIN: (Kind.MIN,),
    Function.MAX: (Kind.MAX,),
    Function.VAR: (Kind.COUNT, Kind.CENTRE, Kind.SHIFTED_SUM, Kind.SHIFTED_SQUARES),
    Function.STD: (Kind.COUNT, Kind.CENTRE, Kind.SHIFTED_SUM, Kind.SHIFTED_SQUARES),
    Function.FIRST: (Kind.FIRST_MS, Kind.FIRST),
    Function.LAST: (Kind.LAST_MS, Kind.LAST),
    Function.TIME_SINCE_LAST: (Kind.LAST_MS,),
    Function.DECAYED_SUM: (Kind.DECAYED_SUM, Kind.DECAYED_ERROR),
    Function.COUNT_DISTINCT: (Kind.DISTINCT,),
    Function.QUANTILE: (Kind.DIGEST,),
    Function.LAST_N: (Kind.NEWEST,),
    Function.TOP_K: (Kind.FREQUENT,),
}
"""The accumulators a function reads, in the order that its results take them (see `steps.windows.evaluate`)."""

_NEEDS_OF_TEXTS = {Function.FIRST: (Kind.OLDEST,), Function.LAST: (Kind.NEWEST,)}
_NEEDS_OF_WHOLE = {
    Function.SUM: (Kind.SUM_HIGH, Kind.SUM_LOW),
    Function.MEAN: (Kind.SUM_HIGH, Kind.SUM_LOW, Kind.COUNT),
    # No whole number can stand for "none yet": the count says it.
    Function.MIN: (Kind.COUNT, Kind.MIN),
    Function.MAX: (Kind.COUNT, Kind.MAX),
}

_OF_VALUES = frozenset(
    {
        *(Kind.SUM_HIGH, Kind.SUM_LOW, Kind.CENTRE, Kind.MIN, Kind.MAX, Kind.FIRST, Kind.LAST),
        *(Kind.FREQUENT, Kind.OLDEST, Kind.NEWEST),
    }
)
"""What these keep of whole numbers is whole."""


class Accumulator(NamedTuple):
    """One column of a tile; `column` is empty for a count of rows."""

    column: str
    kind: Kind
    half_life_ms: int = 0
    """Of a decayed sum."""
    text: bool = False
    """Whether it keeps texts."""
    whole: bool = False
    """Whether it keeps whole numbers, exactly: int64 in the word where others have a float64."""

    @property
    def neutral(self) -> float:
        """Its value before the first event: an int of whole numbers. Neutral in every merge."""
        return _NEUTRAL_WHOLE.get(self.kind, 0) if self.whole else _NEUTRAL[self.kind]

    @property
    def initial(self) -> float:
        """Its word in a tile without an event."""
        return float(np.int64(self.neutral).view(np.float64)) if self.whole else self.neutral


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
        """Finds the column of this accumulator in a tile."""
        return self.accumulators.index(accumulator)

    def of(self, values: Floats, accumulator: Accumulator) -> npt.NDArray[Any]:
        """Views one accumulator of some tiles, shape (r,): float64, or int64 of whole numbers; writes go to the tiles.

        Args:
            values: shape (r, accumulators).
        """
        column = values[:, self.column(accumulator)]
        return column.view(np.int64) if accumulator.whole else column

    def initial(self, tiles: int) -> Floats:
        """Tiles without an event, shape (tiles, accumulators)."""
        return np.tile(np.array([each.initial for each in self.accumulators], np.float64), (tiles, 1))

    def oldest_needed(self, as_of_ms: Ints) -> Ints:
        """Finds the first tile that some window needs as of each time; shape as `as_of_ms`."""
        oldest = as_of_ms // self.slide_ms - self.tiles + 1
        for slide_ms in self.heads:
            oldest = np.minimum(oldest, as_of_ms // slide_ms * (slide_ms // self.slide_ms))
        return oldest

    @property
    def tiles_kept(self) -> int:
        """The most tiles that some windows need as of one time."""
        return max(self.tiles, *(slide_ms // self.slide_ms for slide_ms in self.heads), 0)


def tile_groups(view: StreamView) -> tuple[TileGroup, ...]:
    """Makes the tile groups of a view, ordered by length; fixed by the aggregations and the resolution alone.

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
    """Makes the group of one slide.

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
    """Lists the accumulators that an aggregation reads, in the order that its results take it (see
    `steps.windows.evaluate`).
    """
    function, text, whole = aggregation.function, aggregation.text, aggregation.whole
    kinds = _NEEDS[function]
    if text:
        kinds = _NEEDS_OF_TEXTS.get(function, kinds)
    elif whole:
        kinds = _NEEDS_OF_WHOLE.get(function, kinds)
    half_life_ms = aggregation.parameter if function is Function.DECAYED_SUM else 0
    return [Accumulator(aggregation.column, kind, half_life_ms, text, whole and kind in _OF_VALUES) for kind in kinds]
