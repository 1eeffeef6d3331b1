"""Training rows: the features of every scored event of history, through the scoring path itself."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from pipelines.backfill.history import History
from pipelines.backfill.parquet_columns import HistoryError
from pipelines.contract.plan import FeatureService, Plan
from pipelines.errors import PlanError
from serving.build import scored_source
from serving.feature_reader import stored_views
from serving.history_reader import HistoryReader
from serving.request import ScoringRequest
from serving.scorer import FeatureAssembler

ROWS_AT_ONCE = 20_000


def feature_columns(rows: pd.DataFrame) -> list[str]:
    """The columns of training rows that are the model's input, in its order."""
    return [str(name) for name in rows if "__" in str(name)]


def known_service(plan: Plan, name: str) -> FeatureService:
    """The feature service of that name.

    Raises:
        PlanError: the plan has none.
    """
    try:
        return plan.service(name)
    except KeyError as error:
        raise PlanError(error.args[0]) from error


def training_rows(
    plan: Plan, service_name: str, topic: str, history: History, on_rows: Callable[[int], None]
) -> pd.DataFrame:
    """One row per event of the topic, ordered by event time, features as of the event.

    Args:
        on_rows: told the number of finished rows, for a progress bar.

    Returns:
        `event_ms`, the join keys and request fields of the service, then its features by full name.

    Raises:
        PlanError: the topic or the service is unknown.
        HistoryError: a file of history is missing or does not fit.
    """
    service = known_service(plan, service_name)
    source = scored_source(plan, topic)
    batch = history.events(source, [key.name for key in service.join_keys])
    if not len(batch):
        raise HistoryError(f"{history.path(source)} holds no event that can be used: nothing to train on")
    assembler = FeatureAssembler(plan, service, HistoryReader(plan, stored_views(plan, service), history))
    columns = {name: batch.values(name) for name in service.field_types}
    times = batch.event_ms.tolist()
    parts = []
    for start in range(0, len(batch), ROWS_AT_ONCE):
        end = min(start + ROWS_AT_ONCE, len(batch))
        requests = [
            ScoringRequest(dict(zip(columns, values, strict=True)), event_ms)
            for *values, event_ms in zip(
                *(column[start:end] for column in columns.values()), times[start:end], strict=True
            )
        ]
        vectors = assembler.assemble(requests)
        known = {name: column[start:end] for name, column in columns.items()}
        parts.append(pd.DataFrame({"event_ms": batch.event_ms[start:end]} | known | vectors.columns))
        on_rows(end - start)
    return pd.concat(parts, ignore_index=True)
