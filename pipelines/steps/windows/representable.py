"""What a feature's type can't say is null, wherever it is asked: infinity, and numbers beyond the type's range."""

from __future__ import annotations

import numpy as np

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.steps.arrays import Column

_LARGEST = {
    DataType.INT32: 2.0**31 - 1,
    DataType.INT64: 2.0**63 - 2**10,
    DataType.FLOAT32: float(np.finfo(np.float32).max),
}
_LARGEST_FLOAT = float(np.finfo(np.float64).max)


def fitting(column: Column, element: DataType) -> Column:
    """Numbers of a window as values of its feature's type.

    Args:
        column: shape (n,); whole numbers are objects where a float64 can't hold one of them.
    """
    if element is DataType.INT64 and column.dtype == object:
        return column
    numbers = column.astype(np.float64)
    if element is DataType.UNIX_TIMESTAMP:
        # Times of events are milliseconds here, and whole seconds to Feast.
        numbers = np.floor(numbers / 1_000)
    beyond = np.abs(numbers) > _LARGEST.get(element, _LARGEST_FLOAT)
    return np.where(beyond, np.nan, numbers) if beyond.any() else numbers
