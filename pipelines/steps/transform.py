"""Transform: a view's own function over a batch, before aggregation. It may add columns and drop rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dill
import numpy as np
import pandas as pd

from pipelines.contract.plan import StreamView, Udf
from pipelines.errors import PlanError, TransformError
from pipelines.steps.events import EventBatch

Transform = Callable[[EventBatch], EventBatch]


def load_udf(udf: Udf) -> Callable[..., Any]:
    """The user's function. The plan file's own hash was checked before (see `plan_file`).

    Raises:
        PlanError: the function can't be loaded here.
    """
    try:
        function: Callable[..., Any] = dill.loads(udf.body)
    except Exception as error:
        raise PlanError(
            f"function {udf.name!r} can't be loaded: {error!r}; import what it needs inside the function"
        ) from error
    return function


def view_transform(view: StreamView) -> Transform:
    """The view's transform; a view without a udf keeps every event as it is."""
    if view.udf is None:
        return _keep
    function = load_udf(view.udf)
    return _pandas(function) if view.udf.mode == "pandas" else _python(function)


def _keep(batch: EventBatch) -> EventBatch:
    return batch


def _pandas(function: Callable[..., Any]) -> Transform:
    def transform(batch: EventBatch) -> EventBatch:
        return batch.transformed(function(batch.frame()))

    return transform


def _python(function: Callable[..., Any]) -> Transform:
    def transform(batch: EventBatch) -> EventBatch:
        results = {at: function(row) for at, row in enumerate(batch.frame().to_dict("records"))}
        kept = {at: row for at, row in results.items() if row is not None}
        return batch.transformed(pd.DataFrame(list(kept.values()), index=list(kept)))

    return transform


def transform_each(transform: Transform, batch: EventBatch) -> tuple[EventBatch, dict[int, TransformError]]:
    """The transformed batch; where the function fails, by record index the errors of the events it fails on."""
    try:
        return transform(batch), {}
    except Exception:
        errors = {at: error for at in range(len(batch)) if (error := _failure(transform, batch, at))}
    sound = np.ones(len(batch), dtype=bool)
    sound[list(errors)] = False
    by_record = {int(batch.index[at]): error for at, error in errors.items()}
    rest = batch.select(sound)
    if len(rest):
        rest = transform(rest)
    return rest, by_record


def _failure(transform: Transform, batch: EventBatch, at: int) -> TransformError | None:
    only = np.zeros(len(batch), dtype=bool)
    only[at] = True
    try:
        transform(batch.select(only))
    except Exception as error:
        return TransformError(f"the view's function failed: {error!r}")
    return None
