"""Feature columns: one array per feature, all requests of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.steps.arrays import EXACT, Column, objects, whole_objects

_CASTS: dict[DataType, Any] = {
    DataType.STRING: str,
    DataType.FLOAT32: float,
    DataType.FLOAT64: float,
    DataType.BOOL: bool,
}
"""Of the elements of lists; all other types are whole numbers."""
_WHOLE = (DataType.INT64, DataType.UNIX_TIMESTAMP)
"""What a float64 can't always hold."""


def to_column(values: Sequence[Any], dtype: DataType) -> Column:
    """Makes a column of Python values; None is null."""
    if dtype.is_list:
        cast = _CASTS.get(dtype.element, int)
        return objects([_to_list(each, cast) for each in values])
    if dtype is DataType.STRING:
        return np.array(values, dtype=object)
    if dtype in _WHOLE and any(isinstance(value, int) and not -EXACT <= value <= EXACT for value in values):
        return whole_objects(values)
    return np.array(values, dtype=np.float64)


def _to_list(value: Any, cast: Any) -> list[Any] | None:
    """Drops null elements: a list of Feast can't hold one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return [cast(each) for each in value if each is not None]


def to_values(column: Column, dtype: DataType) -> list[Any]:
    """Converts a column to Python values of its type; None is null."""
    values: list[Any] = column.tolist()
    if column.dtype == object:
        return list(whole_objects(values)) if dtype in _WHOLE else values
    if dtype in (DataType.FLOAT32, DataType.FLOAT64):
        return [None if value != value else value for value in values]
    cast = bool if dtype is DataType.BOOL else int
    # A whole number can't be infinite either.
    return [cast(value) if math.isfinite(value) else None for value in values]


def is_missing(column: Column) -> npt.NDArray[np.bool_]:
    """Marks the values that are null, or lists without an element, shape (n,)."""
    if column.dtype != object:
        return is_null(column)
    return np.array([value is None or value == [] for value in column], dtype=bool)


def is_null(column: Column) -> npt.NDArray[np.bool_]:
    """Marks the values that are null, shape (n,)."""
    if column.dtype == object:
        return np.array([value is None for value in column], dtype=bool)
    nulls: npt.NDArray[np.bool_] = np.isnan(column)
    return nulls
