"""Reads the batch source of a batch view, its rows in the order in which they took effect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import BatchView
from forebay.pipelines.history.parquet_columns import HistoryError, read_columns
from forebay.pipelines.steps.event_time import to_event_ms

_NEVER = datetime.min.replace(tzinfo=UTC)


class BatchRow(NamedTuple):
    """One row of a batch source."""

    entity: tuple[Any, ...]
    """Join key values, in the view's order."""
    event_ms: int
    values: list[Any]
    """Per feature, None for null; times in whole seconds, as features have them."""


def read_batch_rows(view: BatchView) -> list[BatchRow]:
    """Reads all rows, ordered by event time, then by creation time, then as in the file.

    The last row of an entity at or before a time is the one that Feast takes.

    Raises:
        HistoryError: the batch source is no file, is missing, or does not fit the view.
    """
    if view.batch_path is None:
        raise HistoryError(f"feature view {view.name!r} has no file as batch source: give it a FileSource")
    times = [name for name in (view.timestamp_field, view.created_timestamp_field) if name]
    types = {key.name: key.dtype for key in view.join_keys}
    types |= {feature.name: feature.dtype for feature in view.features}
    types |= dict.fromkeys(times, DataType.UNIX_TIMESTAMP)
    found = read_columns(
        Path(view.batch_path),
        {view.file_column(name): dtype for name, dtype in types.items()},
        f"it is the batch source of feature view {view.name!r}",
    )
    columns = {name: found[view.file_column(name)] for name in types}
    for name in times:
        _check_times(columns[name], f"{view.batch_path}, column {view.file_column(name)!r}")
    event_times = columns[view.timestamp_field]
    created = columns[view.created_timestamp_field] if view.created_timestamp_field else [None] * len(event_times)
    entities = zip(*(columns[key.name] for key in view.join_keys), strict=True)
    values = zip(*(_as_feature(columns[each.name], each.dtype) for each in view.features), strict=True)
    rows = [
        ((at, made or _NEVER), BatchRow(entity, to_event_ms(at) or 0, list(row)))
        for entity, at, made, row in zip(entities, event_times, created, values, strict=True)
        if at is not None
    ]
    rows.sort(key=lambda each: each[0])
    return [row for _, row in rows]


def _check_times(values: Sequence[Any], where: str) -> None:
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, datetime):
            raise HistoryError(
                f"{where}, row {row} (the first is 0): {value} is a number without a unit: write timestamps "
                f"(pandas: to_datetime(..., unit='ms', utc=True))"
            )


def _as_feature(values: Sequence[Any], dtype: DataType) -> Sequence[Any]:
    if dtype is not DataType.UNIX_TIMESTAMP:
        return values
    # Feast counts whole seconds.
    return [(to_event_ms(value) or 0) // 1_000 if isinstance(value, datetime) else value for value in values]
