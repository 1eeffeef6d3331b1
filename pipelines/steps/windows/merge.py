"""Merge: the accumulators of tiles into those of windows, all that merge alike at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from forebay.pipelines.steps.arrays import Floats, Ints
from forebay.pipelines.steps.windows.decay import decayed
from forebay.pipelines.steps.windows.flat import FlatTiles
from forebay.pipelines.steps.windows.inside import Inside
from forebay.pipelines.steps.windows.layout import Accumulator, Kind, TileGroup
from forebay.pipelines.steps.windows.moments import variances
from forebay.pipelines.steps.windows.slots import Bools, Slots, picked
from forebay.pipelines.steps.windows.sums import WholeTotals, compensated_totals

_ABSENT = -(2**40)
"""Before every word: a word that a group's tiles do not have is read as the first one of all, which is 0."""

_BESIDE: dict[Kind, tuple[Kind, ...]] = {
    Kind.SUM: (Kind.SUM_ERROR,),
    Kind.DECAYED_SUM: (Kind.DECAYED_ERROR,),
    Kind.SUM_HIGH: (Kind.SUM_LOW,),
    Kind.CENTRE: (Kind.COUNT, Kind.SHIFTED_SUM, Kind.SHIFTED_SQUARES),
    Kind.FIRST: (Kind.FIRST_MS,),
    Kind.LAST: (Kind.LAST_MS,),
}
"""What an accumulator is merged with."""
_BESIDE_WHOLE = _BESIDE | {Kind.MIN: (Kind.COUNT,), Kind.MAX: (Kind.COUNT,)}


class Whole(NamedTuple):
    """Whole numbers of windows."""

    values: Ints
    """Shape (k, slots)."""
    known: Bools
    """Shape (k, slots): False where a window has none, or an int64 can't hold it."""


class Merged(NamedTuple):
    """Accumulators of windows."""

    floats: Floats
    """Shape (k, slots), the k as in `Merge.floats`."""
    whole: Whole
    """The k as in `Merge.whole`."""


class _Rows(NamedTuple):
    """Where some accumulators stand in the table of all."""

    rows: slice | npt.NDArray[np.intp]
    dtype: Any

    def of(self, table: Floats) -> Any:
        """Gathers the words of some accumulators, shape (k, tiles)."""
        return table[self.rows].view(self.dtype)


class _Step(NamedTuple):
    """Some accumulators that merge alike."""

    merge: Callable[..., Any]
    """Called with the slots and arrays of shape (k, tiles): the accumulators, and what they are merged with."""
    inputs: Sequence[_Rows]

    def __call__(self, slots: Slots, table: Floats) -> Any:
        return self.merge(slots, *(each.of(table) for each in self.inputs))


class Merge:
    """Merges all accumulators of a view that are one number."""

    def __init__(self, groups: Sequence[TileGroup]) -> None:
        """Args:
        groups: of the view; the first has every accumulator.
        """
        # Those of a kind stand side by side, so that most steps take slices of the table.
        self._every = sorted(groups[0].accumulators, key=lambda each: (each.whole, list(Kind).index(each.kind)))
        words = [[_word(group, each) for group in groups] for each in self._every]
        self._words = np.array(words, dtype=np.int64).reshape(-1, len(groups))
        with_age = [each for each in self._every if each.kind in (Kind.DECAYED_SUM, Kind.DECAYED_ERROR)]
        self._decayed = self._rows(with_age).rows
        self._half_life_ms = np.array([[each.half_life_ms] for each in with_age], dtype=np.int64)
        self.floats: list[Accumulator] = []
        """Row by row of the merged floats. A centre stands for the sample variance, and the high half of a sum of
        whole numbers for the rounded sum."""
        self.whole: list[Accumulator] = []
        """Row by row of the merged whole numbers. The high half of a sum stands for the sum."""
        self._float_steps = self._steps(_FLOATS, self.floats, _BESIDE)
        self._whole_steps = self._steps(_WHOLE, self.whole, _BESIDE_WHOLE)

    def _steps(
        self,
        merges: Sequence[tuple[Callable[..., Any], bool, Sequence[Kind]]],
        names: list[Accumulator],
        beside: Mapping[Kind, Sequence[Kind]],
    ) -> list[_Step]:
        """Lists the steps for the view's accumulators, and adds their names to `names`."""
        steps = []
        for merge, whole, kinds in merges:
            found = [each for each in self._every if each.kind in kinds and each.whole is whole]
            if found:
                names += found
                others = zip(*(_others(each, beside.get(each.kind, ())) for each in found), strict=True)
                steps.append(_Step(merge, [self._rows(each) for each in (found, *others)]))
        return steps

    def _rows(self, accumulators: Sequence[Accumulator]) -> _Rows:
        rows = [self._every.index(each) for each in accumulators]
        dtype = np.int64 if any(each.whole for each in accumulators) else np.float64
        first = rows[0] if rows else 0
        is_run = rows == list(range(first, first + len(rows)))
        return _Rows(slice(first, first + len(rows)) if is_run else np.array(rows, dtype=np.intp), dtype)

    def __call__(self, tiles: FlatTiles, inside: Inside, as_of_ms: Ints, slots: Slots) -> Merged:
        """Merges the tiles of all windows.

        Args:
            as_of_ms: shape (n,).
        """
        row = inside.row
        table = tiles.words.take(self._words.take(tiles.group[row], axis=1) + tiles.at[row], mode="clip")
        if len(self._half_life_ms):
            age_ms = as_of_ms[tiles.entity[row]] - tiles.start_ms[row]
            table[self._decayed] *= decayed(age_ms / self._half_life_ms)
        floats = [step(slots, table) for step in self._float_steps] or [np.empty((0, slots.count))]
        whole = [step(slots, table) for step in self._whole_steps] or [_none(slots.count)]
        return Merged(np.concatenate(floats), Whole(*map(np.concatenate, zip(*whole, strict=True))))


def _word(group: TileGroup, accumulator: Accumulator) -> int:
    """Finds an accumulator among the words of a tile."""
    return group.column(accumulator) if accumulator in group.accumulators else _ABSENT


def _others(accumulator: Accumulator, kinds: Sequence[Kind]) -> list[Accumulator]:
    """Lists the accumulators that one is merged with."""
    whole = accumulator.whole
    return [accumulator._replace(kind=kind, whole=whole and kind is Kind.SUM_LOW) for kind in kinds]


def _none(slots: int) -> Whole:
    return Whole(np.empty((0, slots), np.int64), np.empty((0, slots), bool))


def _largest(slots: Slots, values: Floats) -> Floats:
    return slots.largest(values, -np.inf)


def _smallest(slots: Slots, values: Floats) -> Floats:
    return -slots.largest(-values, -np.inf)


def _first(slots: Slots, values: Floats, first_ms: Floats) -> Floats:
    return picked(values, slots.first(np.isfinite(first_ms)), np.nan)


def _last(slots: Slots, values: Floats, last_ms: Floats) -> Floats:
    return picked(values, slots.last(np.isfinite(last_ms)), np.nan)


def _rounded_sums(slots: Slots, high: Ints, low: Ints) -> Floats:
    return WholeTotals(slots, high, low).floats()


def _whole_sums(slots: Slots, high: Ints, low: Ints) -> Whole:
    return Whole(*WholeTotals(slots, high, low).whole())


def _whole_largest(slots: Slots, values: Ints, count: Floats) -> Whole:
    return Whole(slots.largest(values, _LEAST), slots.added_up(count) > 0)


def _whole_smallest(slots: Slots, values: Ints, count: Floats) -> Whole:
    # ~ turns the order around, and can't overflow.
    return Whole(~slots.largest(~values, _LEAST), slots.added_up(count) > 0)


def _whole_first(slots: Slots, values: Ints, first_ms: Floats) -> Whole:
    tile = slots.first(np.isfinite(first_ms))
    return Whole(picked(values, tile, 0), tile >= 0)


def _whole_last(slots: Slots, values: Ints, last_ms: Floats) -> Whole:
    tile = slots.last(np.isfinite(last_ms))
    return Whole(picked(values, tile, 0), tile >= 0)


_LEAST = np.iinfo(np.int64).min

_FLOATS = (
    (Slots.added_up, False, (Kind.COUNT,)),
    (compensated_totals, False, (Kind.SUM, Kind.DECAYED_SUM)),
    (_rounded_sums, True, (Kind.SUM_HIGH,)),
    (variances, False, (Kind.CENTRE,)),
    (variances, True, (Kind.CENTRE,)),
    (_largest, False, (Kind.MAX, Kind.LAST_MS)),
    (_smallest, False, (Kind.MIN, Kind.FIRST_MS)),
    (_first, False, (Kind.FIRST,)),
    (_last, False, (Kind.LAST,)),
)
"""What merges accumulators into floats, whether these keep whole numbers, and of which kinds they are."""
_WHOLE = (
    (_whole_sums, True, (Kind.SUM_HIGH,)),
    (_whole_largest, True, (Kind.MAX,)),
    (_whole_smallest, True, (Kind.MIN,)),
    (_whole_first, True, (Kind.FIRST,)),
    (_whole_last, True, (Kind.LAST,)),
)
"""What merges accumulators into whole numbers."""
