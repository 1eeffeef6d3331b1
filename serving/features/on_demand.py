"""On-demand transforms: a user's function over the columns of a whole batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import OnDemandInput, OnDemandView
from forebay.pipelines.errors import RequestError
from forebay.pipelines.steps.arrays import Column, objects
from forebay.pipelines.steps.transform import load_udf
from forebay.serving.features.columns import to_column, to_values


class OnDemandTransform:
    """Runs one on-demand feature view."""

    def __init__(self, view: OnDemandView) -> None:
        self._view = view
        self._function = load_udf(view.udf)
        self._run = {
            ("pandas", False): self._run_pandas,
            ("python", False): self._run_python,
            ("python", True): self._run_singleton,
        }[view.udf.mode, view.udf.singleton]

    def __call__(self, inputs: Mapping[tuple[str, str], Column]) -> dict[str, Column]:
        """The view's features by name, each of shape (n,).

        Args:
            inputs: columns by (view alias or "" for the request, name).

        Raises:
            RequestError: the function failed, or returned too few features or values.
        """
        try:
            result = self._run({each.name: _own(inputs[each.view, each.name], each) for each in self._view.inputs})
            columns = {
                feature.name: to_column(list(result[feature.name]), feature.dtype) for feature in self._view.features
            }
        except Exception as error:
            raise RequestError(f"$.{self._view.name}", f"the on-demand function failed: {error!r}") from error
        count = len(next(iter(inputs.values())))
        for name, column in columns.items():
            if column.shape != (count,):
                raise RequestError(f"$.{self._view.name}.{name}", f"{count} values expected, got {column.shape}")
        return columns

    def _values(self, columns: Mapping[str, Column]) -> dict[str, list[Any]]:
        return {each.name: to_values(columns[each.name], each.dtype) for each in self._view.inputs}

    def _run_pandas(self, columns: Mapping[str, Column]) -> Mapping[str, Any]:
        given = {each.name: _for_pandas(columns[each.name], each.dtype) for each in self._view.inputs}
        frame = self._function(pd.DataFrame(given)).astype(object)
        return {name: frame[name].where(frame[name].notna(), None).tolist() for name in frame.columns}

    def _run_python(self, columns: Mapping[str, Column]) -> Mapping[str, Any]:
        result: Mapping[str, Any] = self._function(self._values(columns))
        return result

    def _run_singleton(self, columns: Mapping[str, Column]) -> Mapping[str, Any]:
        values = self._values(columns)
        rows = [self._function(dict(zip(values, row, strict=True))) for row in zip(*values.values(), strict=True)]
        return {feature.name: [row[feature.name] for row in rows] for feature in self._view.features}


def _for_pandas(column: Column, dtype: DataType) -> Any:
    """The column; of whole numbers that a float64 can't hold, as pandas' nullable type."""
    return pd.array(column, "Int64") if dtype is DataType.INT64 and column.dtype == object else column


def _own(column: Column, wanted: OnDemandInput) -> Column:
    """The column; of lists, copies: a function that sorts its input must not sort the feature."""
    if not wanted.dtype.is_list:
        return column
    return objects([None if value is None else list(value) for value in column])
