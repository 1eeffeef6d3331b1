"""The columns that a view's aggregations read."""

from __future__ import annotations

from pipelines.contract.plan import Function, StreamView
from pipelines.steps.arrays import Floats, Texts
from pipelines.steps.events import EventBatch


class AggregatedColumns:
    """Takes the aggregated columns of a view out of batches."""

    def __init__(self, view: StreamView) -> None:
        read = [each for each in view.aggregations if each.column]
        counted = {each.column for each in read if each.function is Function.COUNT_DISTINCT}
        self._texts = sorted({each.column for each in read if each.text})
        self._numbers = sorted(
            {each.column for each in read if not each.text and each.function is not Function.COUNT_DISTINCT}
        )
        self._identities = sorted(counted.difference(self._numbers))

    def __call__(self, batch: EventBatch) -> tuple[dict[str, Floats], dict[str, Texts]]:
        """Numbers, NaN for null, and texts, None for null; each of shape (n,).

        Where only distinct values of a column are counted, its numbers may stand for texts.
        """
        numbers = {name: batch.floats(name) for name in self._numbers}
        numbers.update((name, batch.identities(name)) for name in self._identities)
        return numbers, {name: batch.texts(name) for name in self._texts}
