"""Tensors: feature columns as ONNX Runtime takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from forebay.pipelines.steps.arrays import Column, Mask
from forebay.serving.features.columns import is_null

TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}
"""The types of inputs that can be fed."""

LIST_FILLS: dict[str, Any] = {"tensor(float)": np.nan, "tensor(double)": np.nan, "tensor(string)": ""}
"""The types of inputs that lists can fill, and what stands where a list has ended."""

_INTEGERS: dict[Any, tuple[float, float]] = {np.int64: (-(2.0**63), 2.0**63), np.int32: (-(2.0**31), 2.0**31)}
"""The smallest value, and the one after the largest."""


def unheld(column: Column, tensor_type: str) -> Mask:
    """Marks the values that a tensor would hold as other values, in the column's shape.

    Null is held as NaN, or as the empty text. Floats may be rounded, but a number never becomes infinite.
    """
    target = TYPES[tensor_type]
    held: Mask
    if column.dtype == object and target in _INTEGERS:
        low, beyond = _INTEGERS[target]
        # Beside whole numbers that a float64 can't hold, a matrix has floats of other features.
        lost = [value is None or not (low <= value < beyond and value % 1 == 0) for value in column.ravel().tolist()]
        return np.array(lost, dtype=bool).reshape(column.shape)
    if column.dtype == object and target is not object:
        column = column.astype(np.float64)
    if target in (object, np.float64):
        held = np.ones(column.shape, dtype=bool)
    elif target is np.float32:
        held = ~np.isfinite(column) | (np.abs(column) <= np.finfo(np.float32).max)
    elif target is np.bool_:
        held = (column == 0) | (column == 1)
    else:
        low, beyond = _INTEGERS[target]
        held = (column >= low) & (column < beyond) & (column == np.floor(column))
    return ~held


def as_matrix(columns: Sequence[Column]) -> Column:
    """Puts the columns of scalar features side by side, shape (n, features)."""
    return np.concatenate(columns).reshape(len(columns), -1).T


def as_tensor(column: Column, tensor_type: str, lost: Mask) -> Column:
    """Scalars, of the column's shape. Null is NaN, or the empty text.

    Args:
        lost: what `unheld` marks: it is 0 in the tensor.
    """
    if tensor_type == "tensor(string)":
        return np.where(is_null(column), "", column)
    return (np.where(lost, 0, column) if lost.any() else column).astype(TYPES[tensor_type])


def as_padded_tensor(column: Column, tensor_type: str, width: int) -> Column:
    """Lists, shape (n, width): what is too long is cut, what is too short is filled."""
    tensor = np.full((len(column), width), LIST_FILLS[tensor_type], dtype=TYPES[tensor_type])
    for row, values in enumerate(column):
        if values:
            tensor[row, : len(values)] = values[:width]
    return tensor
