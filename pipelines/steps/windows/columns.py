"""The columns that a view's aggregations read."""

from __future__ import annotations

from typing import NamedTuple

from forebay.pipelines.contract.plan.types import Function
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.steps.arrays import Floats, Texts, WholeNumbers
from forebay.pipelines.steps.events import EventBatch


class EventColumns(NamedTuple):
    """What is aggregated of n events, by column; each of shape (n,)."""

    numbers: dict[str, Floats]
    """NaN for null."""
    texts: dict[str, Texts]
    """None for null."""
    whole: dict[str, WholeNumbers]
    identities: dict[str, WholeNumbers]


class AggregatedColumns:
    """Takes the aggregated columns of a view out of batches."""

    def __init__(self, view: StreamView) -> None:
        numbers, texts, whole, identities = set(), set(), set(), set()
        for aggregation in (each for each in view.aggregations if each.column):
            column = aggregation.column
            if aggregation.function is Function.COUNT_DISTINCT:
                identities.add(column)
            elif aggregation.text:
                texts.add(column)
            elif aggregation.whole:
                whole.add(column)
            else:
                numbers.add(column)
        self._numbers, self._texts = sorted(numbers), sorted(texts)
        self._whole, self._identities = sorted(whole), sorted(identities)

    def __call__(self, batch: EventBatch) -> EventColumns:
        """Reads the columns of a batch.

        Raises:
            TypeError, ValueError: the view's function made something else of a column.
        """
        return EventColumns(
            {name: batch.floats(name) for name in self._numbers},
            {name: batch.texts(name) for name in self._texts},
            {name: batch.whole(name) for name in self._whole},
            {name: batch.identities(name) for name in self._identities},
        )
