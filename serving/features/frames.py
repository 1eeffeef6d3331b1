"""DataFrames: what training rows, notebooks and functions of users hold, to columns of features and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import OnDemandInput
from forebay.pipelines.errors import RequestError
from forebay.pipelines.steps.arrays import Column
from forebay.pipelines.steps.nulls import is_null
from forebay.serving.features.columns import to_column, to_values
from forebay.serving.features.request import check_type

_WHOLE = (DataType.INT32, DataType.INT64, DataType.UNIX_TIMESTAMP)


def to_series(parts: Sequence[Column], dtype: DataType) -> Any:
    """Join the parts of a column for a DataFrame: whole numbers as `Int64`, which is exact and may be null."""
    if dtype in _WHOLE:
        return pd.array([value for part in parts for value in to_values(part, dtype)], dtype="Int64")
    return np.concatenate(parts)


def from_frame(rows: pd.DataFrame, dtypes: Mapping[str, DataType]) -> dict[str, Column]:
    """Take the columns of these names and types out of a DataFrame.

    Raises:
        RequestError: the frame lacks some of them, or a value is of another type.
    """
    check_columns(rows, dtypes)
    columns = {}
    for name, dtype in dtypes.items():
        values = plain_values(rows[name], dtype)
        for at, value in enumerate(values):
            if value is not None and not dtype.is_list:
                check_type(value, dtype, f"rows[{at}].{name}")
        columns[name] = to_column(values, dtype)
    return columns


def check_columns(rows: pd.DataFrame, names: Mapping[str, DataType]) -> None:
    """Do nothing if the frame has all these columns, each once.

    Raises:
        RequestError: it has not.
    """
    columns = list(rows.columns)
    wrong = [f"{name} ({dtype})" for name, dtype in names.items() if columns.count(name) != 1]
    if wrong:
        raise RequestError(
            "rows", f"they have no column, or several, of these names: {', '.join(wrong)}; give one each"
        )


def plain_values(series: Any, dtype: DataType) -> list[Any]:
    """Returns the values of a column as Python has them; None is null.

    pandas keeps whole numbers beside nulls as floats: of a whole-number type they are whole numbers again.
    """
    values = [_plain(value) for value in series.tolist()]
    if dtype in _WHOLE:
        return [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    return None if is_null(value) else value


def run_on_frame(
    function: Callable[[pd.DataFrame], pd.DataFrame], inputs: Sequence[OnDemandInput], columns: Mapping[str, Column]
) -> dict[str, list[Any]]:
    """Run an on-demand function of mode `pandas`: the values of each column that it returned, None for null.

    Args:
        columns: by the input's name, each of shape (n,).
    """
    frame = function(pd.DataFrame({each.name: _as_given(columns[each.name], each.dtype) for each in inputs}))
    made = frame.astype(object)
    return {name: made[name].where(made[name].notna(), None).tolist() for name in made.columns}


def _as_given(column: Column, dtype: DataType) -> Any:
    """Returns the column; of whole numbers that a float64 can't hold, as pandas' nullable type."""
    return pd.array(column, "Int64") if dtype is DataType.INT64 and column.dtype == object else column
