"""The columns that a view's aggregations read, as numbers."""

from __future__ import annotations

from pipelines.contract.plan import Function, StreamView
from pipelines.steps.arrays import Floats
from pipelines.steps.events import EventBatch


class AggregatedColumns:
    """Takes the aggregated columns of a view out of batches."""

    def __init__(self, view: StreamView) -> None:
        columns = {each.column for each in view.aggregations} - {""}
        self._numbers = sorted(
            {each.column for each in view.aggregations if each.function is not Function.COUNT_DISTINCT} & columns
        )
        self._identities = sorted(columns.difference(self._numbers))

    def __call__(self, batch: EventBatch) -> dict[str, Floats]:
        """Each of shape (n,), NaN for null. A column of which only distinct values are counted may hold strings."""
        return {
            **{name: batch.floats(name) for name in self._numbers},
            **{name: batch.identities(name) for name in self._identities},
        }
