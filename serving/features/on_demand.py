"""On-demand transforms: a user's function over the columns of a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from forebay.pipelines.contract.plan.views import OnDemandInput, OnDemandView
from forebay.pipelines.errors import RequestError
from forebay.pipelines.steps.arrays import Column, objects
from forebay.pipelines.steps.udf import load_udf
from forebay.serving.features.columns import to_column, to_values


class OnDemandTransform:
    """Runs one on-demand feature view."""

    def __init__(self, view: OnDemandView) -> None:
        self._view = view
        self._function = load_udf(view.udf)
        self._run: Callable[[Mapping[str, Column]], Mapping[str, Any]]
        if view.udf.mode == "pandas":
            # Only here, and not with the first request: pandas takes 70 MB and half a second.
            from forebay.serving.features.frames import run_on_frame

            self._run = partial(run_on_frame, self._function, view.inputs)
        else:
            self._run = self._run_singleton if view.udf.singleton else self._run_python

    def __call__(self, inputs: Mapping[tuple[str, str], Column]) -> dict[str, Column]:
        """Computes the view's features by name, each of shape (n,).

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

    def _run_python(self, columns: Mapping[str, Column]) -> Mapping[str, Any]:
        result: Mapping[str, Any] = self._function(self._values(columns))
        return result

    def _run_singleton(self, columns: Mapping[str, Column]) -> Mapping[str, Any]:
        values = self._values(columns)
        rows = [self._function(dict(zip(values, row, strict=True))) for row in zip(*values.values(), strict=True)]
        return {feature.name: [row[feature.name] for row in rows] for feature in self._view.features}


def _own(column: Column, wanted: OnDemandInput) -> Column:
    """Returns the column; of lists, copies: a function that sorts its input must not sort the feature."""
    if not wanted.dtype.is_list:
        return column
    return objects([None if value is None else list(value) for value in column])
