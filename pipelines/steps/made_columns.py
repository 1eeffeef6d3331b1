"""Columns that a view's function made, of whatever type pandas gave them, as the steps take them."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from forebay.pipelines.steps.arrays import EXACT, Floats
from forebay.pipelines.steps.event_time import to_event_ms


def numbers(column: pd.Series[Any]) -> Floats:
    """NaN for null; times in ms since the epoch, without a zone as UTC."""
    column = _without_times(column)
    if column.dtype == object:
        column = column.map(milliseconds)
    found: Floats = pd.to_numeric(column).to_numpy(np.float64, na_value=np.nan)
    return found


def plain_values(column: pd.Series[Any]) -> list[Any]:
    """Python values, None for null; times in ms since the epoch."""
    values = _without_times(column).astype(object)
    return [None if _is_null(value) else milliseconds(value) for value in values.tolist()]


def whole_values(column: pd.Series[Any], name: str) -> list[int | None]:
    """Whole numbers, None for null.

    Args:
        name: of the column, for errors.

    Raises:
        TypeError: a value is none; or is a float too large to say which whole number it was.
        ValueError: a value is beyond 64 bits.
    """
    return [None if value is None else _whole(value, name) for value in plain_values(column)]


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
    """Which values are infinite floats, shape (n,)."""
    if column.dtype == object:
        return np.array([isinstance(value, float) and math.isinf(value) for value in column], dtype=bool)
    if not pd.api.types.is_float_dtype(column):
        return np.zeros(len(column), dtype=bool)
    found: npt.NDArray[np.bool_] = np.isinf(column.to_numpy(np.float64, na_value=np.nan))
    return found


def milliseconds(value: Any) -> Any:
    """A time in ms since the epoch, without a zone as UTC; anything else as it is."""
    return to_event_ms(value) if isinstance(value, datetime) else value


def _without_times(column: pd.Series[Any]) -> pd.Series[Any]:
    if not pd.api.types.is_datetime64_any_dtype(column):
        return column
    elapsed = pd.to_datetime(column, utc=True) - pd.Timestamp(0, tz="UTC")
    return elapsed // pd.Timedelta(milliseconds=1)


def _is_null(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value
