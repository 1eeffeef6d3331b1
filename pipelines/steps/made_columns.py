"""Columns that a view's function made, of whatever type pandas gave them, as the steps take them."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from forebay.pipelines.steps.arrays import EXACT, Floats, Ints
from forebay.pipelines.steps.event_time import to_event_ms
from forebay.pipelines.steps.nulls import is_null


class MadeColumns(NamedTuple):
    """What a view's function returned for the n events that it kept."""

    frame: pd.DataFrame

    @property
    def labels(self) -> Ints:
        """The row labels, shape (n,).

        Raises:
            ValueError: one is no whole number.
        """
        found: Ints = self.frame.index.to_numpy(np.int64)
        return found

    def take(self, rows: Ints) -> MadeColumns:
        """Returns the columns of some of the events."""
        return MadeColumns(self.frame.iloc[rows])

    def values(self, name: str) -> list[Any]:
        """Values as the function made them, whatever null is."""
        return list(self.frame[name].tolist())

    def floats(self, name: str) -> Floats:
        """Numbers, shape (n,), NaN for null; times in ms since the epoch, without a zone as UTC."""
        column = _without_times(self.frame[name])
        if column.dtype == object:
            column = column.map(milliseconds)
        found: Floats = pd.to_numeric(column).to_numpy(np.float64, na_value=np.nan)
        return found

    def plain(self, name: str) -> list[Any]:
        """Python values, None for null; times in ms since the epoch."""
        values = _without_times(self.frame[name]).astype(object)
        return [None if is_null(value) else milliseconds(value) for value in values.tolist()]

    def whole(self, name: str) -> list[int | None]:
        """Whole numbers, None for null.

        Raises:
            TypeError: a value is none; or is a float too large to say which whole number it was.
            ValueError: a value is beyond 64 bits.
        """
        return [None if value is None else _whole(value, name) for value in self.plain(name)]


def _whole(value: Any, name: str) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return int(value)
    if isinstance(value, bool | np.bool_ | int | np.integer):
        number = int(value)
        if -(2**63) <= number < 2**63:
            return number
        raise ValueError(f"column {name!r} has {number}, which is no whole number of 64 bits")
    raise TypeError(
        f"column {name!r} has {value!r}, and features of type Int64 are made of it: let the function return whole "
        f"numbers (pandas: Int64, which has nulls; float64 can't hold all of them), or declare the features Float64"
    )


def is_infinite(column: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    """Tells which values are infinite floats, shape (n,)."""
    if column.dtype == object:
        return np.array([isinstance(value, float) and math.isinf(value) for value in column], dtype=bool)
    if not pd.api.types.is_float_dtype(column):
        return np.zeros(len(column), dtype=bool)
    found: npt.NDArray[np.bool_] = np.isinf(column.to_numpy(np.float64, na_value=np.nan))
    return found


def milliseconds(value: Any) -> Any:
    """Returns a time in ms since the epoch, without a zone as UTC; anything else as it is."""
    return to_event_ms(value) if isinstance(value, datetime) else value


def _without_times(column: pd.Series[Any]) -> pd.Series[Any]:
    if not pd.api.types.is_datetime64_any_dtype(column):
        return column
    elapsed = pd.to_datetime(column, utc=True) - pd.Timestamp(0, tz="UTC")
    return elapsed // pd.Timedelta(milliseconds=1)
