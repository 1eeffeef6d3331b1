"""Reads history: one Parquet file per topic, with the columns of the topic's events."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.backfill.parquet_columns import open_parquet, read_columns
from pipelines.contract.plan import Plan, Source, StreamView
from pipelines.steps.decode import event_type, to_event_ms
from pipelines.steps.events import EventBatch
from pipelines.steps.transform import transform_each, view_transform
from pipelines.steps.validate import Validator

_ONE_FILE = "history is one Parquet file per topic"


def history_path(folder: Path, source: Source) -> Path:
    """Where the history of a topic is expected."""
    return folder / f"{source.topic}.parquet"


def count_events(folder: Path, source: Source) -> int:
    """How many events the history of a topic holds, valid or not.

    Raises:
        HistoryError: the file is missing.
    """
    with open_parquet(history_path(folder, source), _ONE_FILE) as file:
        return int(file.metadata.num_rows)


def load_events(folder: Path, source: Source) -> EventBatch:
    """The valid events of a topic, ordered by event time (stable).

    Raises:
        HistoryError: the file is missing or does not fit the schema.
    """
    types = {column.name: column.dtype for column in source.columns}
    columns = read_columns(history_path(folder, source), types, _ONE_FILE).values()
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
