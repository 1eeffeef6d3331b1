"""Reads history: one Parquet file per topic, with the columns of the topic's events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from pipelines.contract.plan import DataType, Plan, Source, StreamView
from pipelines.errors import ForebayError
from pipelines.steps.decode import event_type, to_event_ms
from pipelines.steps.events import EventBatch
from pipelines.steps.transform import transform_each, view_transform
from pipelines.steps.validate import Validator


class HistoryError(ForebayError):
    """A file of history is missing or does not fit the topic's schema."""


def history_path(folder: Path, source: Source) -> Path:
    """Where the history of a topic is expected."""
    return folder / f"{source.topic}.parquet"


def count_events(folder: Path, source: Source) -> int:
    """How many events the history of a topic holds, valid or not.

    Raises:
        HistoryError: the file is missing.
    """
    path = history_path(folder, source)
    try:
        return int(pq.read_metadata(path).num_rows)
    except FileNotFoundError as error:
        raise HistoryError(f"{path} does not exist: history is one Parquet file per topic") from error


def load_events(folder: Path, source: Source) -> EventBatch:
    """The valid events of a topic, ordered by event time (stable).

    Raises:
        HistoryError: the file is missing, or lacks a column of the schema.
    """
    path = history_path(folder, source)
    names = [column.name for column in source.columns]
    try:
        frame = pd.read_parquet(path, columns=names)
    except FileNotFoundError as error:
        raise HistoryError(f"{path} does not exist: history is one Parquet file per topic") from error
    except (ValueError, KeyError) as error:
        raise HistoryError(f"{path} does not have the columns {', '.join(names)}: {error}") from error
    columns = [_python_values(frame[column.name], column.dtype) for column in source.columns]
    make = event_type("Event", source.columns)
    events = [make(*values) for values in zip(*columns, strict=True)]
    times = [to_event_ms(getattr(event, source.timestamp_field)) or 0 for event in events]
    events = [events[at] for at in np.argsort(np.array(times), kind="stable").tolist()]
    batch, _invalid = Validator(source)(events)
    return batch


def load_view_events(folder: Path, plan: Plan, view: StreamView) -> EventBatch:
    """The events of a view, after its transform; those it fails on are left out, as on the stream.

    Raises as `load_events`.
    """
    batch = load_events(folder, plan.source(view.source))
    if not len(batch):
        return batch
    kept, _failed = transform_each(view_transform(view), batch)
    return kept


def _python_values(column: pd.Series[Any], dtype: DataType) -> list[Any]:
    if dtype is DataType.UNIX_TIMESTAMP and pd.api.types.is_datetime64_any_dtype(column):
        return [None if value is pd.NaT else value.to_pydatetime() for value in column]
    if dtype in (DataType.INT32, DataType.INT64, DataType.UNIX_TIMESTAMP):
        return [None if pd.isna(value) else int(value) for value in column]
    values = column.astype(object)
    kept: list[Any] = values.where(values.notna(), None).tolist()
    return kept
