"""Values as of a time, by the code that feeds the model: windows exact, the ttl enforced, policies applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService
from forebay.serving.feast.encode import NO_TIME, AnswerColumn, Status, timestamp_text
from forebay.serving.feast.entities import Values
from forebay.serving.feast.select import column_name
from forebay.serving.features.assemble import FeatureAssembler, FeatureVectors
from forebay.serving.features.read import FeatureReader, RowReader, stored_views
from forebay.serving.features.request import ScoringRequest
from forebay.serving.features.rows import ViewColumns


class FeaturesAsOf:
    """Answers for one service as of any time."""

    def __init__(self, plan: Plan, service: FeatureService, store: RowReader) -> None:
        self._service = service
        self._assembler = FeatureAssembler(plan, service, FeatureReader(plan, stored_views(plan, service), store))

    def __call__(self, entities: Values, as_of_ms: int, full_names: bool) -> list[AnswerColumn]:
        """Computes the features' columns. Of an entity that a policy refuses all features are null and INVALID.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        rows = [dict(zip(entities, row, strict=True)) for row in zip(*entities.values(), strict=True)]
        vectors = self._assembler.assemble([ScoringRequest(row, as_of_ms) for row in rows])
        values = self._assembler.values(vectors)
        columns = []
        for view in self._service.views:
            read = vectors.views.get(view.alias)
            times = [NO_TIME] * len(rows) if read is None else _times(read)
            for feature in view.features:
                column: list[Any] = [
                    None if at in vectors.refusals else value
                    for at, value in enumerate(values[f"{view.alias}__{feature}"])
                ]
                statuses = [_status(vectors, read, at, value) for at, value in enumerate(column)]
                columns.append(AnswerColumn(column_name(view, feature, full_names), column, statuses, times))
        return columns


def _times(view: ViewColumns) -> Sequence[str]:
    return [NO_TIME if time != time else timestamp_text(int(time) * 1_000) for time in view.event_ms.tolist()]


def _status(vectors: FeatureVectors, view: ViewColumns | None, at: int, value: Any) -> Status:
    if at in vectors.refusals:
        return "INVALID"
    if view is not None and view.event_ms[at] != view.event_ms[at]:
        return "NOT_FOUND"
    if view is not None and view.stale[at]:
        return "OUTSIDE_MAX_AGE"
    return "NULL_VALUE" if value is None else "PRESENT"
