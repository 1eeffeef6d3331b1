"""Feature columns: one array per feature, all requests of a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.contract.plan import DataType
from pipelines.steps.arrays import Floats

Column = npt.NDArray[Any]
"""Shape (n,): float64 with NaN for null, or object with None for null (strings)."""


def to_column(values: Sequence[Any], dtype: DataType) -> Column:
    """A column of Python values; None is null."""
    if dtype is DataType.STRING:
        return np.array(values, dtype=object)
    return np.array(values, dtype=np.float64)


def to_values(column: Column, dtype: DataType) -> list[Any]:
    """A column as Python values of its type; None is null."""
    if column.dtype == object:
        return list(column)
    values: list[Any] = column.tolist()
    if dtype in (DataType.FLOAT32, DataType.FLOAT64):
        return [None if value != value else value for value in values]
    cast = bool if dtype is DataType.BOOL else int
    # A whole number can't be infinite either.
    return [cast(value) if math.isfinite(value) else None for value in values]


def is_null(column: Column) -> npt.NDArray[np.bool_]:
    """Which values are null, shape (n,)."""
    if column.dtype == object:
        return np.array([value is None for value in column], dtype=bool)
    nulls: npt.NDArray[np.bool_] = np.isnan(column)
    return nulls


def to_matrix(columns: Mapping[str, Column], names: Sequence[str]) -> Floats:
    """The numeric columns side by side, shape (n, len(names)), float64."""
    return np.column_stack([columns[name] for name in names]) if names else np.empty((0, 0))
