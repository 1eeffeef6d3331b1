"""Training rows: the features of every scored event of history, through the scoring path itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.errors import FeatureRefused, PlanError
from forebay.pipelines.history.load import POSITION_COLUMNS, History
from forebay.pipelines.history.parquet_columns import HistoryError
from forebay.pipelines.steps.events import EventBatch
from forebay.serving.features.assemble import FeatureAssembler
from forebay.serving.features.frames import to_series
from forebay.serving.features.from_history import HistoryReader
from forebay.serving.features.read import stored_views
from forebay.serving.features.request import ScoringRequest, check_asks
from forebay.serving.worker.build import scored_source

ROWS_AT_ONCE = 20_000

_INPUTS = "model_inputs"
"""Attribute of training rows; pandas writes it into the metadata of a Parquet file, and reads it back."""


def feature_columns(rows: pd.DataFrame) -> list[str]:
    """Names the columns of training rows that are the model's input, in its order.

    Names do not tell them: a field of an event may be called like a feature.

    Raises:
        HistoryError: the rows have lost that attribute, as by a merge in pandas.
    """
    try:
        return list(rows.attrs[_INPUTS])
    except KeyError as error:
        raise HistoryError(
            f"the rows have no attribute {_INPUTS!r}: ask for it before they are merged with others, or of the file"
        ) from error


def known_service(plan: Plan, name: str) -> FeatureService:
    """Finds the feature service of that name.

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
    """Makes one row per event of the topic, ordered by event time, with features as of the event.

    Args:
        on_rows: told the number of finished rows, for a progress bar.

    Returns:
        `event_ms`; all fields of the event, whole numbers that may be null as `Int64`; `source_topic`,
        `source_partition` and `source_offset`, null where the history does not say; the service's features by full
        name, which are the model's input (see `feature_columns`).

    Raises:
        PlanError: the topic or the service is unknown, or they do not fit.
        HistoryError: a file of history is missing or does not fit.
        RequestError: an on-demand function failed.
    """
    service = known_service(plan, service_name)
    source = scored_source(plan, topic)
    check_asks(source, service)
    batch = history.events(source, [key.name for key in service.join_keys])
    if not len(batch):
        raise HistoryError(f"{history.path(source)} holds no event that can be used: nothing to train on")
    assembler = FeatureAssembler(plan, service, HistoryReader(plan, stored_views(plan, service), history))
    known = _known(source, batch, history)
    _check_names(source, known, assembler.features)
    values = batch.columns()
    columns = [values[name] for name in service.field_types]
    times = batch.event_ms.tolist()
    parts = []
    for start in range(0, len(batch), ROWS_AT_ONCE):
        end = min(start + ROWS_AT_ONCE, len(batch))
        asked = zip(*(column[start:end] for column in columns), strict=True) if columns else [()] * (end - start)
        requests = [
            ScoringRequest(dict(zip(service.field_types, fields, strict=True)), event_ms)
            for fields, event_ms in zip(asked, times[start:end], strict=True)
        ]
        vectors = assembler.assemble(requests)
        for refusal in vectors.refusals.values():
            # What a policy refuses is a row of training like any other.
            if not isinstance(refusal, FeatureRefused):
                raise refusal
        parts.append(vectors.columns)
        on_rows(end - start)
    features = {name: to_series([part[name] for part in parts], dtype) for name, dtype in assembler.features.items()}
    rows = pd.concat([known, pd.DataFrame(features)], axis="columns")
    rows.attrs[_INPUTS] = list(assembler.features)
    return rows


def _known(source: Source, batch: EventBatch, history: History) -> pd.DataFrame:
    """Collects what training rows have beside features: time, fields and position of each event."""
    positions = history.positions(source, batch.index)
    return pd.DataFrame(
        {"event_ms": batch.event_ms}
        | dict(batch.frame().items())
        | {"source_topic": source.topic}
        | {name: pd.array(values, dtype="Int64") for name, values in positions.items()}
    )


def _check_names(source: Source, known: pd.DataFrame, features: Iterable[str]) -> None:
    """Does nothing if no two columns of training rows have one name.

    Raises:
        PlanError: a field is called like a feature, or like a column that every training row has.
    """
    fields = {column.name for column in source.columns} - {source.timestamp_field}
    added = {"event_ms", "source_topic", *POSITION_COLUMNS}
    for name in sorted((fields & added) | (set(known) & set(features))):
        raise PlanError(
            f"training rows of topic {source.topic!r} would have two columns {name!r}: its events have a field of that "
            f"name; use the feature under another name (with_name), or rename the field"
        )
