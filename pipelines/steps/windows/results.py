"""Results: the values of features from merged accumulators, those of all features at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forebay.pipelines.contract.plan.types import DataType, Function
from forebay.pipelines.contract.plan.views import Aggregation
from forebay.pipelines.steps.arrays import EXACT, Column, Floats, Ints, WholeNumbers
from forebay.pipelines.steps.windows.layout import Accumulator, Kind, accumulators_of
from forebay.pipelines.steps.windows.merge import Merge, Merged, Whole
from forebay.pipelines.steps.windows.representable import Fitting

_MAIN = {Function.VAR: 1, Function.STD: 1, Function.FIRST: 1, Function.LAST: 1, Function.MIN: -1, Function.MAX: -1}
"""Which of the accumulators that a function needs holds its result; of the others the first."""


class Wanted(NamedTuple):
    """One feature that is a number."""

    aggregation: Aggregation
    element: DataType
    window: int

    @property
    def accumulator(self) -> Accumulator:
        """What holds the result, or is divided by the count for it."""
        return accumulators_of(self.aggregation)[_MAIN.get(self.aggregation.function, 0)]


class Results:
    """Takes the features of a view that are numbers out of merged accumulators."""

    def __init__(self, wanted: Sequence[Wanted], merge: Merge, windows: int) -> None:
        self._windows = windows
        floats, whole = merge.floats, merge.whole
        self._centre = [at for at, each in enumerate(floats) if each.kind is Kind.CENTRE]
        self._last_ms = [at for at, each in enumerate(floats) if each.kind is Kind.LAST_MS]
        means = list(dict.fromkeys(each.accumulator for each in wanted if each.aggregation.function is Function.MEAN))
        self._total = [floats.index(each) for each in means]
        self._count = [floats.index(Accumulator(each.column, Kind.COUNT)) for each in means]
        # In the order of `_table`.
        names: list[tuple[str, Accumulator]] = [
            *(("float", each) for each in floats),
            *(("whole", each) for each in whole),
            *((Function.STD, floats[at]) for at in self._centre),
            *((Function.TIME_SINCE_LAST, floats[at]) for at in self._last_ms),
            *((Function.MEAN, each) for each in means),
        ]
        self._row = np.array([names.index((_kind(each), each.accumulator)) for each in wanted], dtype=np.intp)
        self._window = np.array([each.window for each in wanted], dtype=np.intp)
        self._fitting = Fitting([each.element for each in wanted])
        self._exact = [
            (at, whole.index(each.accumulator), each.window)
            for at, each in enumerate(wanted)
            if _kind(each) == "whole" and each.element is DataType.INT64
        ]

    def __call__(self, merged: Merged, as_of_ms: Ints) -> tuple[Floats, dict[int, Column]]:
        """Computes the values as of some times.

        Args:
            as_of_ms: shape (n,).

        Returns:
            Shape (features, n), NaN for null; and by feature, columns of whole numbers that a float64 can't hold.
        """
        count = len(as_of_ms)
        table = self._table(merged, as_of_ms)
        numbers = self._fitting(table.reshape(len(table), self._windows, count)[self._row, self._window])
        return numbers, self._objects(merged.whole, count) if self._exact else {}

    def _table(self, merged: Merged, as_of_ms: Ints) -> Floats:
        """Computes all results in all windows, shape (results, slots)."""
        floats, whole = merged
        parts = [floats]
        if len(whole.values):
            parts.append(np.where(whole.known, whole.values, np.nan))
        if self._centre:
            parts.append(np.sqrt(floats[self._centre]))
        if self._last_ms:
            parts.append(_seconds_since(floats[self._last_ms], np.tile(as_of_ms, self._windows)))
        if self._total:
            count = floats[self._count]
            parts.append(np.divide(floats[self._total], count, out=np.full(count.shape, np.nan), where=count > 0))
        return np.concatenate(parts) if len(parts) > 1 else floats

    def _objects(self, whole: Whole, count: int) -> dict[int, Column]:
        beyond = whole.known & ((whole.values > EXACT) | (whole.values < -EXACT))
        if not beyond.any():
            return {}
        values, known = (each.reshape(len(each), self._windows, count) for each in whole)
        columns = {at: WholeNumbers(values[row, window], known[row, window]) for at, row, window in self._exact}
        return {at: each.column() for at, each in columns.items() if not each.is_exact}


def _kind(wanted: Wanted) -> str:
    """Finds the part of the table that holds this result."""
    function = wanted.aggregation.function
    if function in (Function.STD, Function.TIME_SINCE_LAST, Function.MEAN):
        return function
    return "whole" if wanted.accumulator.whole else "float"


def _seconds_since(last_ms: Floats, as_of_ms: Ints) -> Floats:
    """Computes seconds since a time; 0 when the row is ahead of the as-of time."""
    return np.where(np.isinf(last_ms), np.nan, np.maximum(as_of_ms - last_ms, 0.0) / 1_000.0)
