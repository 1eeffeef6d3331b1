"""Transform: a view's own function over a batch, before aggregation. It may add columns and drop rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.errors import TransformError
from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.events import EventBatch
from forebay.pipelines.steps.made_columns import MadeColumns, is_infinite, milliseconds
from forebay.pipelines.steps.udf import load_udf
from forebay.pipelines.steps.windows.columns import AggregatedColumns

Transform = Callable[[EventBatch], EventBatch]


def view_transform(view: StreamView) -> Transform:
    """Returns the view's transform; a view without a udf keeps every event as it is.

    What would stop the partition later is refused here, where it can be blamed on one event: a missing
    or unusable aggregated column, row labels that were lost, a changed join key.
    """
    if view.udf is None:
        return _keep
    function = load_udf(view.udf)
    run = _pandas(function) if view.udf.mode == "pandas" else _python(function)
    aggregated = AggregatedColumns(view)
    columns = sorted({each.column for each in view.aggregations if each.column})
    kept_as_they_are = [key.name for key in view.join_keys] + [view.timestamp_field]

    def transform(batch: EventBatch) -> EventBatch:
        frame = _finite(run(batch).sort_index(kind="stable"), columns, view.infinite)
        after = batch.transformed(MadeColumns(frame))
        if len(after):
            _check_unchanged(after, frame, kept_as_they_are)
            aggregated(after)
        return after

    return transform


def _finite(frame: pd.DataFrame, columns: Sequence[str], infinite: Literal["refuse", "null"]) -> pd.DataFrame:
    """Nulls or refuses infinite numbers: one would stay in every window that holds its event."""
    found = {name: is_infinite(frame[name]) for name in columns if name in frame}
    found = {name: at for name, at in found.items() if at.any()}
    if found and infinite == "refuse":
        raise ValueError(
            f"it made an infinite number of column {next(iter(found))!r} (a division by zero?): return null there, or "
            f"set the view's tag 'infinite' to 'null'"
        )
    return frame.assign(**{name: frame[name].mask(at) for name, at in found.items()})


def _keep(batch: EventBatch) -> EventBatch:
    return batch


def _pandas(function: Callable[..., Any]) -> Callable[[EventBatch], pd.DataFrame]:
    def run(batch: EventBatch) -> pd.DataFrame:
        frame = function(batch.frame())
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(f"it returned {type(frame).__name__}, not a DataFrame")
        return frame

    return run


def _python(function: Callable[..., Any]) -> Callable[[EventBatch], pd.DataFrame]:
    def run(batch: EventBatch) -> pd.DataFrame:
        columns = batch.columns()
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        results = {at: function(row) for at, row in enumerate(rows)}
        kept = {at: row for at, row in results.items() if row is not None}
        return pd.DataFrame(list(kept.values()), index=list(kept), dtype=object)

    return run


def _check_unchanged(batch: EventBatch, frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Events are routed and placed in time by these columns before the function sees them."""
    columns = batch.columns()
    for name in names:
        if name not in frame or pd.api.types.is_datetime64_any_dtype(frame[name]):
            continue
        if not _equal(frame[name], columns[name]):
            raise ValueError(
                f"it changed column {name!r}, or moved rows to other row labels; keep the index and that column"
            )


def _equal(column: pd.Series[Any], values: Sequence[Any]) -> bool:
    return all(
        value is None if other is pd.NA or other != other else milliseconds(other) == value
        for other, value in zip(column, values, strict=True)
    )


def transform_each(transform: Transform, batch: EventBatch) -> tuple[EventBatch, dict[int, TransformError]]:
    """Returns the transformed batch; where the function fails, by record index the errors of the events it fails on."""
    try:
        return transform(batch), {}
    except Exception:
        errors = _failures(transform, batch, np.arange(len(batch)))
    sound = np.ones(len(batch), dtype=bool)
    sound[list(errors)] = False
    rest = batch.select(sound)
    if len(rest):
        try:
            rest = transform(rest)
        except Exception as error:
            # It fails on no event alone, but on these together: none of them can be trusted.
            errors |= {int(at): _failed(error) for at in np.flatnonzero(sound)}
            rest = batch.select(np.zeros(len(batch), dtype=bool))
    return rest, {int(batch.index[at]): error for at, error in errors.items()}


def _failures(transform: Transform, batch: EventBatch, members: Ints) -> dict[int, TransformError]:
    """Finds, by place in the batch, the events that the function fails on, by halving."""
    chosen = np.zeros(len(batch), dtype=bool)
    chosen[members] = True
    try:
        transform(batch.select(chosen))
    except Exception as error:
        if len(members) == 1:
            return {int(members[0]): _failed(error)}
        middle = len(members) // 2
        return _failures(transform, batch, members[:middle]) | _failures(transform, batch, members[middle:])
    return {}


def _failed(error: Exception) -> TransformError:
    return TransformError(f"the view's function failed: {error!r}")
