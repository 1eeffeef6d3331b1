"""Tensors: feature columns as ONNX Runtime takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.steps.arrays import Column

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


def as_tensor(column: Column, tensor_type: str) -> Column:
    """Scalars, shape (n,). Null is NaN, or the empty text.

    Raises:
        ValueError: the type can't hold null.
    """
    if tensor_type == "tensor(string)":
        return np.array(["" if value is None else value for value in column], dtype=object)
    target = TYPES[tensor_type]
    if target not in (np.float32, np.float64) and np.isnan(column).any():
        raise ValueError(f"{tensor_type} can't hold null; give the feature a default")
    return column.astype(target)


def as_padded_tensor(column: Column, tensor_type: str, width: int) -> Column:
    """Lists, shape (n, width): what is too long is cut, what is too short is filled."""
    tensor = np.full((len(column), width), LIST_FILLS[tensor_type], dtype=TYPES[tensor_type])
    for row, values in enumerate(column):
        if values:
            tensor[row, : len(values)] = values[:width]
    return tensor
